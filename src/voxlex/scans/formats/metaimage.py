"""Read MetaImage files: `.mha`, and `.mhd` with its file of voxels."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.content import kind_of
from voxlex.scans.formats.text_headers import (
    LONGEST_HEADER,
    TextLayout,
    checked_shape,
    numbers_in,
    read_with_header,
    whole_numbers,
)
from voxlex.scans.grid import affine_from_lps, with_spacing
from voxlex.scans.scan import InFile

_TYPES = {
    "met_char": "i1",
    "met_uchar": "u1",
    "met_short": "i2",
    "met_ushort": "u2",
    "met_int": "i4",
    "met_uint": "u4",
    "met_long": "i4",
    "met_ulong": "u4",
    "met_long_long": "i8",
    "met_ulong_long": "u8",
    "met_float": "f4",
    "met_double": "f8",
}
_DIRECTIONS = ("transformmatrix", "rotation", "orientation")
_ORIGINS = ("offset", "position", "origin")
_LINE = re.compile(rb"[ \t]*([A-Za-z0-9_]+)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?\n")


def read_metaimage(
    path: Path,
    *,
    volume: int | str | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> InFile:
    """Read a `.mha` or `.mhd` file as a picture if it has two axes, else as a volume; see `read_scan`.

    Of the header, only what describes the voxels is used.

    Raises:
        DataError: If the file is damaged or too large, names a file of voxels that does not lie beside it, holds
            colour or vectors, does not say the distance between voxels, or has a fourth axis and no `volume` is chosen.
    """
    layout = partial(_layout, spacing_mm=spacing_mm)
    return read_with_header(path, layout, volume=volume, max_gigabytes=max_gigabytes)


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, the last of which names the voxels, and where the header ends."""
    fields: dict[str, str] = {}
    end = 0
    content = start + b"\n" if len(start) < LONGEST_HEADER else start  # the last line need not end
    while found := _LINE.match(content, end):
        name, end = found[1].decode("ascii").lower(), found.end()
        fields[name] = found[2].decode("latin-1")
        if name == "elementdatafile":
            return fields, end
    if "ndims" in fields or "objecttype" in fields:
        raise DataError("is damaged or cut short: its header does not name its voxels (ElementDataFile)")
    raise DataError(f"expected a MetaImage file, got {kind_of(start[:1024])}")


def _layout(start: bytes, *, spacing_mm: Sequence[float] | None) -> TextLayout:
    fields, end = _fields(start)
    for name in ("ndims", "dimsize", "elementtype"):
        if name not in fields:
            raise DataError(f"is damaged: its header does not have the field {name}")
    axes = (*whole_numbers(fields["ndims"], name="NDims"), 0)[0]
    shape = checked_shape(whole_numbers(fields["dimsize"], name="DimSize"), axes=axes)
    channels = whole_numbers(fields.get("elementnumberofchannels", "1"), name="ElementNumberOfChannels")
    if channels != [1]:
        raise DataError(f"expected one number for each voxel, got {channels[0] if channels else 'none'}")
    kind = _TYPES.get(fields["elementtype"].lower())
    if kind is None:
        raise DataError("expected a known type of numbers (ElementType), got another one")
    first = _yes(fields, "binarydatabyteordermsb") or _yes(fields, "elementbyteordermsb")
    if _yes(fields, "compresseddata"):
        encoding = "zlib"
    else:
        encoding = "raw" if _yes(fields, "binarydata", default=True) else "text"
    local = fields["elementdatafile"].upper() == "LOCAL"
    skipped = (*whole_numbers(fields.get("headersize", "0"), name="HeaderSize"), 0)[0]
    affine, unknown = _affine(fields, shape, spacing_mm)
    return TextLayout(
        shape=shape,
        dtype=np.dtype((">" if first else "<") + kind),
        encoding=encoding,
        file=None if local else fields["elementdatafile"],
        offset=-1 if skipped < 0 else skipped + (end if local and skipped == 0 else 0),
        affine=affine,
        unknown=unknown,
    )


def _affine(
    fields: dict[str, str], shape: tuple[int, ...], spacing_mm: Sequence[float] | None
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    axes = len(shape)
    claimed = fields.get(
        "elementspacing", fields.get("elementsize", "")
    )  # MetaIO, too, takes the size for the distance
    steps = numbers_in(claimed, name="ElementSpacing")[:3]
    if axes == 2:
        known = len(steps) == 2 and all(0 < step < np.inf for step in steps)
        return (np.diag([*steps, 1.0, 1.0]) if known else None), ()
    spacing, unknown = with_spacing(steps, shape, spacing_mm)
    matrix = next((fields[name] for name in _DIRECTIONS if name in fields), None)
    directions = np.eye(axes)
    if matrix is None:
        unknown = (*unknown, "orientation")
    else:
        numbers = numbers_in(matrix, name="TransformMatrix")
        if len(numbers) != axes**2:
            raise DataError(f"its header is damaged: expected {axes**2} numbers in TransformMatrix, got {len(numbers)}")
        directions = np.reshape(numbers, (axes, axes)).T  # a row of the field is the direction of an axis
    origin = numbers_in(next((fields[name] for name in _ORIGINS if name in fields), "0 " * axes), name="Offset")
    if len(origin) != axes:
        raise DataError(f"its header is damaged: expected {axes} numbers in Offset, got {len(origin)}")
    return affine_from_lps(directions[:3, :3] * spacing, np.array(origin[:3])), unknown


def _yes(fields: dict[str, str], name: str, *, default: bool = False) -> bool:
    return fields[name].lower() in ("true", "t", "1", "yes") if name in fields else default
