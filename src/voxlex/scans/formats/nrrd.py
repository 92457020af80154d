"""Read NRRD files: `.nrrd`, and `.nhdr` with its file of voxels."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.content import kind_of
from voxlex.scans.formats.text_headers import (
    TextLayout,
    checked_shape,
    numbers_in,
    read_with_header,
    whole_numbers,
)
from voxlex.scans.grid import affine_from_lps, with_spacing
from voxlex.scans.scan import InFile

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("gzip", "gz"), "zlib"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
}
_TO_LPS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}
_MM = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_IN_SPACE = ("domain", "space", "???", "none", "")
_VOLUMES = ("list", "time", "domain", "space", "???", "none", "")  # of what else several volumes may be
_SYNONYMS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "centers": "centerings"}
_VECTOR = re.compile(r"none|\([^()]*\)")


def read_nrrd(
    path: Path,
    *,
    volume: int | str | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> InFile:
    """Read a `.nrrd` or `.nhdr` file as a picture if it has two axes, else as a volume; see `read_scan`.

    Of the header, only what describes the voxels is used.

    Raises:
        DataError: If the file is damaged or too large, names a file of voxels that does not lie beside it, holds
            colour or vectors, does not say the distance between voxels, or has a fourth axis and no `volume` is chosen.
    """
    layout = partial(_layout, spacing_mm=spacing_mm)
    return read_with_header(path, layout, volume=volume, max_gigabytes=max_gigabytes)


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and where it ends: at its first empty line, or with the file."""
    if not start.startswith(b"NRRD000"):
        raise DataError(f"expected an NRRD file, got {kind_of(start[:1024])}")
    fields: dict[str, str] = {}
    end = 0
    while end < len(start):
        stop = start.find(b"\n", end)
        stop = len(start) if stop < 0 else stop
        line, end = start[end:stop].rstrip(b"\r"), stop + 1
        if not line:
            break
        name, colon, value = line.decode("latin-1").partition(": ")
        if colon and not line.startswith(b"#") and ":=" not in name:
            name = name.strip().lower()
            name = _SYNONYMS.get(name, name)
            if name in fields:
                raise DataError(f"its header is damaged: expected the field {name!r} once, got it twice")
            fields[name] = value.strip()
            if name == "data file" and value.split()[:1] == ["LIST"]:
                break
    return fields, end


def _layout(start: bytes, *, spacing_mm: Sequence[float] | None) -> TextLayout:
    fields, end = _fields(start)
    for name in ("dimension", "sizes", "type", "encoding"):
        if name not in fields:
            raise DataError(f"is damaged or cut short: its header does not have the field {name!r}")
    axes = (*whole_numbers(fields["dimension"], name="dimension"), 0)[0]
    shape = checked_shape(whole_numbers(fields["sizes"], name="sizes"), axes=axes)
    kind, encoding = _TYPES.get(fields["type"].lower()), _ENCODINGS.get(fields["encoding"].lower())
    if kind is None or encoding is None:
        raise DataError("expected a known type of numbers and a known encoding, got others")
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big") and kind[1] != "1" and encoding != "text":
        raise DataError("does not say the byte order of its numbers (endian)")
    first = _volumes_first(fields, shape)
    affine, unknown = _affine(fields, shape[1:] if first else shape, spacing_mm, first=first)
    file = fields.get("data file")
    skipped = (*whole_numbers(fields.get("byte skip", "0"), name="byte skip"), 0)[0]
    lines = (*whole_numbers(fields.get("line skip", "0"), name="line skip"), 0)[0]
    if skipped < -1 or not 0 <= lines <= 10_000:
        raise DataError("its header is damaged: expected a sensible number of bytes and lines to skip")
    return TextLayout(
        shape=shape,
        dtype=np.dtype((">" if endian == "big" else "<") + kind),
        encoding=encoding,
        file=file,
        offset=-1 if skipped < 0 else skipped + (end if file is None else 0),
        lines=lines,
        affine=affine,
        first=first,
        unknown=unknown,
    )


def _volumes_first(fields: dict[str, str], shape: tuple[int, ...]) -> bool:
    """Tell whether the first axis does not lie in space, and holds several volumes.

    Raises:
        DataError: If it holds colour or vectors, or another axis than the first or the last ones is not in space.
    """
    kinds = [word.lower() for word in fields.get("kinds", "").split()] or [""] * len(shape)
    vectors = _vectors(fields)
    none = [vector == "none" for vector in vectors] if vectors else [False] * len(shape)
    if len(kinds) != len(shape) or len(none) != len(shape):
        raise DataError("its header is damaged: expected a kind and a direction for each axis")
    outside = [alone or kind not in _IN_SPACE for alone, kind in zip(none, kinds, strict=True)]
    for kind, out, length in zip(kinds, outside, shape, strict=True):
        if out and kind not in _VOLUMES:
            raise DataError(f"expected one number for each voxel, got {length}")
    if not any(outside[: 3 + outside[0]]):
        return False
    if outside[0] and len(shape) == 4 and not any(outside[1:]):
        return True
    if outside[0] and len(shape) == 3:
        raise DataError(f"expected one number for each voxel, got {shape[0]}")
    raise DataError("expected the axes in space before all others, or one of several volumes before them")


def _affine(
    fields: dict[str, str], shape: tuple[int, ...], spacing_mm: Sequence[float] | None, *, first: bool
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    count = min(3, len(shape))
    vectors = [vector for vector in _vectors(fields) if vector != "none"][:count]
    if vectors:
        steps = np.zeros((3, 3))
        for axis, vector in enumerate(vectors):
            numbers = numbers_in(vector, name="space directions")[:3]
            steps[: len(numbers), axis] = numbers
        scale = np.array([_MM.get(unit, 1.0) for unit in _units(fields)] + [1.0] * 3)[:3]
        steps *= scale[:, None]
        if len(shape) == 2:
            return np.block([[steps, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]), ()
        origin = (numbers_in(fields.get("space origin", "").replace("none", ""), name="space origin") + [0.0] * 3)[:3]
        space = fields.get("space", "").lower().removesuffix("-time").removesuffix("t")
        turn = np.array(_TO_LPS.get(space, (1, 1, 1)))
        if len(vectors) < 3:
            raise DataError("its header is damaged: expected a direction for each axis")
        affine = affine_from_lps(turn[:, None] * steps, turn * scale * np.array(origin))
        return affine, () if space in _TO_LPS else ("orientation",)
    claimed = numbers_in(fields.get("spacings", ""), name="spacings")[int(first) :][:3]
    if len(shape) == 2:
        known = len(claimed) == 2 and all(0 < step < np.inf for step in claimed)
        return (np.diag([*claimed, 1.0, 1.0]) if known else None), ()
    spacing, unknown = with_spacing(claimed, shape, spacing_mm)
    return affine_from_lps(np.diag(spacing), np.zeros(3)), (*unknown, "orientation")


def _vectors(fields: dict[str, str]) -> list[str]:
    return _VECTOR.findall(fields.get("space directions", "").lower())


def _units(fields: dict[str, str]) -> list[str]:
    return re.findall(r'"([^"]*)"', fields.get("space units", ""))
