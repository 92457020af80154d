"""What NRRD and MetaImage have in common: a header of text, and voxels behind it or in a file beside it."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxlex.errors import DataError, naming
from voxlex.scans.formats.content import check_beside, check_held, check_memory, check_regular, filled, inflated
from voxlex.scans.grid import StoredGrid
from voxlex.scans.scan import InFile, choose_volume

LONGEST_HEADER = 1 << 20
"""Bytes of a header of text; longer ones are not read."""


@dataclass(frozen=True, kw_only=True)
class TextLayout:
    """How a file holds its voxels.

    Attributes:
        shape: Lengths of the axes, the first of which varies fastest: two or three in space, then others.
        dtype: Type of the numbers, with their byte order.
        encoding: "raw", "zlib" (or gzip), "bzip2" or "text".
        file: Name of the file of the voxels; None if they follow the header.
        offset: Where they begin in their file; -1 if they fill its end.
        lines: Number of lines to skip before.
        affine: Map from voxel indices to scanner coordinates (RAS+) in mm; for two axes, only its lengths count.
        first: Whether the axis of several volumes varies fastest, not slowest.
        unknown: What the file does not say; see `Scan.unknown`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    encoding: str
    file: str | None
    offset: int
    lines: int = 0
    affine: np.ndarray | None
    first: bool = False
    unknown: tuple[str, ...] = ()


def read_with_header(
    path: Path, layout_of: Callable[[bytes], TextLayout], *, volume: int | str | None, max_gigabytes: float
) -> InFile:
    """Read a file of a header and voxels; see `read_scan`.

    Args:
        path: The file that begins with the header.
        layout_of: Function that reads the header. It gets the start of the file.
        volume: The volume to read.
        max_gigabytes: Largest scan to read.

    Raises:
        DataError: If the file is of another kind, damaged or too large. The message names it.
    """
    with naming(path):
        check_regular(path)
        try:
            with path.open("rb") as file:
                start = file.read(LONGEST_HEADER)
        except OSError as cause:
            raise DataError(f"cannot be read: {cause.strerror or cause}") from cause
        return _in_file(path, layout_of(start), volume=volume, max_gigabytes=max_gigabytes)


def _in_file(path: Path, layout: TextLayout, *, volume: int | str | None, max_gigabytes: float) -> InFile:
    """Read the voxels that a header describes.

    Raises:
        DataError: If their file lies elsewhere, is damaged or too large, or no volume of several is chosen.
    """
    shape = layout.shape
    in_space = (*shape[1:], shape[0]) if layout.first else shape
    chosen = choose_volume(volume, count=math.prod(in_space[3:]), shape=in_space)
    values = _numbers(path, layout, max_gigabytes=max_gigabytes).reshape(shape, order="F")
    values = np.moveaxis(values, 0, -1) if layout.first else values
    if values.ndim == 2:
        spacing = None if layout.affine is None else np.linalg.norm(layout.affine[:3, :2], axis=0)
        pixels = np.ascontiguousarray(values.T)
        return InFile(values=pixels, spacing_mm=None if spacing is None else (float(spacing[1]), float(spacing[0])))
    values = values.reshape((*values.shape[:3], -1), order="F")[..., chosen]
    if layout.affine is None:
        raise DataError("does not say how far apart its voxels are")
    unplaced = "orientation" in layout.unknown
    stored = StoredGrid(
        shape=values.shape, affine=layout.affine, dtype=layout.dtype.newbyteorder("="), space=2 if unplaced else 1
    )
    return InFile(values=values, stored=stored, unknown=layout.unknown)


def numbers_in(text: str, *, name: str) -> list[float]:
    """Return the numbers of a field, which brackets and commas may part.

    Raises:
        DataError: If it holds something else.
    """
    try:
        return [float(word) for word in re.split(r"[\s,()]+", text.strip(" ()\t")) if word]
    except ValueError:
        raise DataError(f"its header is damaged: expected numbers in {name!r}") from None


def whole_numbers(text: str, *, name: str) -> list[int]:
    """Return the whole numbers of a field; see `numbers_in`."""
    found = numbers_in(text, name=name)
    if not all(number.is_integer() for number in found):
        raise DataError(f"its header is damaged: expected whole numbers in {name!r}")
    return [int(number) for number in found]


def checked_shape(sizes: Sequence[int], *, axes: int) -> tuple[int, ...]:
    """Return the lengths of the axes.

    Raises:
        DataError: If there are others than `axes` of them, fewer than two, or one is below 1.
    """
    if len(sizes) != axes or not 2 <= axes <= 16 or min(sizes) < 1:
        raise DataError(f"its header is damaged: expected 2 axes or more with lengths above 0, got {list(sizes)[:16]}")
    return tuple(sizes)


def _numbers(path: Path, layout: TextLayout, *, max_gigabytes: float) -> np.ndarray:
    total = math.prod(layout.shape) * layout.dtype.itemsize
    check_memory(total, max_gigabytes=max_gigabytes)
    place = path
    if layout.file is not None:
        place = _beside(layout.file, path)
    held = check_regular(place)
    if layout.encoding in ("zlib", "bzip2"):
        check_memory(total, max_gigabytes=max_gigabytes, packed=held)
    check_held(total, packed=held, layers=0 if layout.encoding == "raw" else 1 if layout.encoding == "zlib" else 3)
    try:
        with place.open("rb") as file:
            offset = held - total if layout.offset < 0 else layout.offset
            if layout.encoding == "raw" and (offset < 0 or offset + total > held):
                there = max(0, held - offset)
                raise DataError(f"is damaged or cut short: its header claims {total:,} bytes, and {there:,} are there")
            file.seek(offset)
            for _ in range(layout.lines):
                file.readline(LONGEST_HEADER)
            if layout.encoding == "raw":
                return filled(file, total).view(layout.dtype)
            if layout.encoding == "text":
                return _parsed(file.read(min(held, 64 * total)), layout)
            return inflated(file, total, method=layout.encoding).view(layout.dtype)
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror or cause}") from cause


def _parsed(text: bytes, layout: TextLayout) -> np.ndarray:
    words = text.replace(b",", b" ").split()
    count = math.prod(layout.shape)
    try:
        return (
            np.array(words[:count], layout.dtype if layout.dtype.kind == "f" else np.int64)
            .astype(layout.dtype)[:count]
            .reshape(count)
        )
    except (ValueError, OverflowError):
        raise DataError("is damaged or cut short: its voxels are not as many numbers as its header claims") from None


def _beside(name: str, header: Path) -> Path:
    """Return the file that a header names, if it is one beside it.

    Raises:
        DataError: If it lies elsewhere, or there are several.
    """
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise DataError("names several files of voxels (a list or a pattern), which are not read; save it as one file")
    name = name.removeprefix("./")
    if Path(name).name != name or "\\" in name or name in (".", ".."):
        raise DataError("names a file that does not lie in its own folder; only files beside the header are read")
    place = header.parent / name
    check_beside(place, header)
    return place
