"""The files that belong to a scan besides the one that names it: the voxels of a header, the header of voxels."""

import re
from pathlib import Path

from voxlex.errors import DataError
from voxlex.scans.formats.content import check_regular
from voxlex.scans.suffixes import PAIRED_SUFFIXES, suffix_of

_NAMED = re.compile(rb"^(?:ElementDataFile[ \t]*=|data ?file:)[ \t]*([^\r\n]+)", re.I | re.M)
_START = 1 << 16
_HEADERS = (".hdr", ".hdr.gz")


def companions(path: Path) -> list[Path]:
    """Return the further files that a scan is read from, so that a change of them is noticed.

    Only names are looked at here; reading the scan checks whether they may be read.
    """
    suffix = suffix_of(path)
    stem = path.name[: len(path.name) - len(suffix)]
    if suffix in (*_HEADERS, *PAIRED_SUFFIXES):
        others = PAIRED_SUFFIXES if suffix in _HEADERS else _HEADERS
        places = [path.with_name(stem + other) for other in (*others, ".mat")]
    elif suffix in (".mhd", ".nhdr"):
        places = _named_in(path)
    else:
        return []
    return [place for place in places if place.is_file()]


def _named_in(path: Path) -> list[Path]:
    try:
        check_regular(path)
        with path.open("rb") as file:
            found = _NAMED.findall(file.read(_START))
    except (OSError, DataError):  # reading the scan reports the error
        return []
    names = [name.decode("latin-1").strip() for name in found]
    return [path.with_name(name) for name in names if Path(name).name == name and name not in (".", "..")]
