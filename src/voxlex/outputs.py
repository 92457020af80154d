"""What may be written where: nothing is replaced or removed that the program did not make.

Four marks tell what it made: the metadata of a run, the description of a prepared data set, a word in the header of
every picture and volume that it writes, and a hidden file in a folder of results.
"""

import gzip
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from voxlex.errors import DataError
from voxlex.files import is_there
from voxlex.names import resolved

MARK = "made by voxlex"
"""Stands in the header of every PNG and NIfTI file that the program writes, and of the exact copies in TIFF."""

RUN_METADATA, PREPARED_DESCRIPTION = "metadata.json", "prepared.json"

SUFFIXES = {2: ".png", 3: ".nii.gz"}
"""The suffix of results with so many spatial dimensions."""

SHEETS = ("reconstructions.png", "samples.png", "inpainted.png", "anomalies.png", "similar.png")
"""Pictures that lie in runs and among results."""

EXACT_SUFFIXES = (".nii", ".tif", ".tiff")
"""Further suffixes, of exact copies of scans."""

RESULTS_MARK = ".voxlex"
"""A hidden file in each folder of results."""

_PREPARED_IMAGES = "images.npy"
_START = 1024  # bytes of a file that hold its header, and the mark

Identity = tuple[int, int]


def is_own_file(path: Path) -> bool:
    """Return whether a picture or a volume was written by the program, as its header says."""
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            return MARK.encode() in file.read(_START)
    except (OSError, EOFError, zlib.error):
        return False


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run, finished or not, of this version or an older one."""
    content = _json(folder / RUN_METADATA)
    versions = content.get("versions")
    return "format_version" in content and isinstance(versions, dict) and "voxlex" in versions


def is_prepared_set(folder: Path) -> bool:
    """Return whether a folder is a prepared data set."""
    return {"format_version", "fingerprint", "options"} <= _json(folder / PREPARED_DESCRIPTION).keys()


def mark_results(folder: Path) -> None:
    """Leave a hidden file among results, by which a command knows them where it looks for scans in a folder above."""
    with suppress(OSError):  # the results count, and the error of a full disk is theirs
        (folder / RESULTS_MARK).write_text(
            "Results of voxlex. Where a folder above is searched for scans, they are passed over.\n", encoding="utf-8"
        )


def own_results(folder: Path, names: Collection[str], *, among_results: bool) -> tuple[set[str], bool]:
    """Find files in a folder that the program made and that are not scans to learn from.

    These are the sheets of a run, the images of a prepared set, and pictures and volumes in folders of results. Few
    folders are looked into: those of these kinds.

    Args:
        folder: The folder.
        names: The names of its files.
        among_results: Whether a folder above is a folder of results.

    Returns:
        The names of these files, and whether the folders below are folders of results.
    """
    own: set[str] = set()
    if PREPARED_DESCRIPTION in names and is_prepared_set(folder):
        own |= {_PREPARED_IMAGES} & set(names)
    in_run = RUN_METADATA in names and is_run(folder)
    if in_run:
        own |= set(SHEETS) & set(names)
    sheets = (name for name in SHEETS if name in names and not in_run)
    results = among_results or is_there(folder / RESULTS_MARK) or any(is_own_file(folder / name) for name in sheets)
    if results or in_run:
        written = (name for name in names if name.lower().endswith((*SUFFIXES.values(), *EXACT_SUFFIXES)))
        own |= {name for name in written if name not in own and is_own_file(folder / name)}
    return own, results


def check_file(out: Path, *, overwrite: bool, reads: Iterable[Path] = (), suffixes: tuple[str, ...] = ()) -> None:
    """Refuse a place for a file before the work is done.

    Args:
        out: The file to write.
        overwrite: Replace a file that is there.
        reads: What the command reads, files and folders, which it must not replace; taken only if `out` is there.
        suffixes: How the names of files end that may be replaced, in lower case; by default, in any way.

    Raises:
        DataError: If it is a folder, exists and is not to be replaced, is what the command reads by any name, or is of
            another kind.
    """
    if not is_there(out):
        return
    if out.is_dir():
        raise DataError(f"{out}: expected a file to write, got a folder")
    if not overwrite:
        raise DataError(f"{out}: exists already; choose another file, or replace it with --overwrite")
    if _identity(out) in _identities(reads):
        raise DataError(f"{out}: is what is read, which the result would replace; choose another file")
    if suffixes and not out.name.lower().endswith(suffixes):
        raise DataError(f"{out}: is not a {suffixes[0]} file, and is not replaced by one; choose another name")


def check_files_differ(*outs: Path | None) -> None:
    """Refuse to write two results into one file.

    Raises:
        DataError: If two places are the same.
    """
    given = [out for out in outs if out is not None]
    for number, out in enumerate(given):
        if resolved(out) in [resolved(other) for other in given[:number]]:
            raise DataError(f"{out}: expected a file for each result, got one for two of them")


def check_folder(out: Path, *, overwrite: bool, reads: Iterable[Path] = ()) -> None:
    """Refuse a place for results before the work is done; nothing is made.

    With `overwrite`, a folder may hold anything but what results could replace although the program did not make it:
    what the command reads, by whatever name, and pictures and volumes of another origin.

    Args:
        out: The folder for the results.
        overwrite: Write into a folder that holds something.
        reads: What the command reads, files and folders; taken only if `out` holds something.

    Raises:
        DataError: If it is a file, a run or a prepared data set, holds something and is not to be overwritten, or holds
            what must not be replaced.
    """
    if is_there(out) and not out.is_dir():
        raise DataError(f"{out}: expected a folder for the results, got a file")
    if not out.exists() and out.name.lower().endswith((*SUFFIXES.values(), *EXACT_SUFFIXES, ".jpg")):
        raise DataError(f"{out}: expected a folder for the results, which are named after the scans, got a file name")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not overwrite:
        raise DataError(f"{out}: expected an empty folder; choose another one, or write into this with --overwrite")
    if is_run(out) or is_prepared_set(out):
        raise DataError(f"{out}: is a run or a prepared data set; choose another folder for results")
    check_apart(out, reads)
    for path in _below(out):
        if (
            path.name.lower().endswith((*SUFFIXES.values(), *EXACT_SUFFIXES))
            and path.is_file()
            and not is_own_file(path)
        ):
            raise DataError(
                f"{path}: is not marked as made by voxlex, and results could replace it; choose another folder"
            )


def check_apart(out: Path, reads: Iterable[Path]) -> None:
    """Refuse a folder in which lies what is read: results could replace it.

    Raises:
        DataError: If a file or a folder of `reads` is in it or below, by its own name, as a link or as a hard link.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return
    read = _identities(reads)
    for path in _below(out):
        if _identity(path) in read:
            raise DataError(
                f"{out}: holds the scans themselves ({path}), which results would replace; choose another folder"
            )


def _below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all that is in it and in the folders below, those that are links included."""
    seen: set[Identity | None] = set()
    pending = [folder]
    yield folder
    while pending:
        place = pending.pop()
        if _identity(place) in seen:
            continue
        seen.add(_identity(place))
        try:
            paths = sorted(place.iterdir())
        except OSError as cause:
            raise DataError(f"{place}: cannot be listed: {cause.strerror or cause}") from cause
        yield from paths
        pending += [path for path in paths if path.is_dir()]


def _identities(reads: Iterable[Path]) -> set[Identity]:
    return {identity for path in reads if (identity := _identity(path)) is not None}


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere, say
        return None
    return status.st_dev, status.st_ino


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
