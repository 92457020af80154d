"""Read NIfTI, Analyze and FreeSurfer's MGH files, and write NIfTI files."""

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.config.options import Nan
from voxlex.errors import DataError, naming
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.formats.content import Unpacked, check_beside, check_memory, check_regular, unpacked
from voxlex.scans.formats.mgh_header import mgh_layout
from voxlex.scans.formats.nifti_header import (
    Layout,
    described_by,
    nifti_layout,
    numbers_of_header,
    with_mark,
)
from voxlex.scans.grid import StoredGrid
from voxlex.scans.samples import Samples
from voxlex.scans.scan import SMALLEST, Scan, choose_volume
from voxlex.scans.suffixes import PAIRED_SUFFIXES, suffix_of

_PAIR = {".img": ".hdr", ".img.gz": ".hdr", ".hdr": ".img", ".hdr.gz": ".img"}


def read_nifti(
    path: Path,
    *,
    volume: int | str | None = None,
    nan: Nan = "error",
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> Scan:
    """Read a NIfTI-1 or NIfTI-2, Analyze 7.5 or MGH file as a volume.

    A NIfTI file's place in space is its sform, else its qform, else its voxel sizes alone; x is then taken to run to
    the left, as nibabel does, and the orientation is unknown. Analyze files are read as their code of orientation says;
    they have no origin. Text in the header and the extensions stay in the file.

    Args:
        path: A `.nii` or `.mgh` file, or either file of a `.hdr` and `.img` pair. Each may be packed by gzip.
        volume: Number of the volume, from 0, in a file with a fourth axis.
        nan: What values that are not finite mean.
        spacing_mm: Distance between voxels along the axes of the file, if it does not say it.
        max_gigabytes: Most memory that the voxels may take.

    Raises:
        DataError: If the file is damaged, of another kind, too large, has a fourth axis and no `volume` is chosen, or
            does not say the distance between voxels.
    """
    with naming(path), _opened(path, spacing_mm) as (source, layout):
        numbers = _numbers_in(source, layout, volume=volume, max_gigabytes=max_gigabytes)
        stored = _stored(layout, numbers.shape)
        return Scan.from_file(grey_of(numbers, stored), stored, nan=nan, unknown=layout.unknown)


def read_nifti_samples(
    path: Path,
    *,
    volume: int | str | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> Samples:
    """Read the numbers of a volume as they are stored, with a NIfTI header for them; see `read_nifti`.

    The header of a NIfTI file is kept, but for its text. Other files get one that says what theirs says.
    """
    with naming(path), _opened(path, spacing_mm) as (source, layout):
        numbers = _numbers_in(source, layout, volume=volume, max_gigabytes=max_gigabytes)
        if layout.header is None:
            return samples_on(numbers, _stored(layout, numbers.shape))
        return Samples(values=numbers, extra=numbers_of_header(layout.header, shape=numbers.shape))


def samples_on(numbers: np.ndarray, stored: StoredGrid) -> Samples:
    """Return numbers in the order of a grid's file as samples, with a NIfTI header that describes the grid.

    Raises:
        DataError: If NIfTI has no such numbers.
    """
    if numbers.dtype.kind == "b":
        numbers = numbers.astype(np.uint8)
    numbers = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    image = _image(numbers, stored.affine, stored.space, (stored.slope, stored.intercept))
    return Samples(values=numbers, extra=numbers_of_header(image.header.binaryblock, shape=numbers.shape))


def grey_of_samples(samples: Samples, stored: StoredGrid, *, unknown: tuple[str, ...] = ()) -> Scan:
    """Return the scan that reading the file of these samples gives.

    Args:
        samples: The samples of a volume.
        stored: The grid of the volume.
        unknown: See `Scan.unknown`.

    Raises:
        DataError: If the samples are not of this grid.
    """
    if samples.values.shape != stored.shape:
        raise DataError(f"expected a volume of shape {stored.shape}, got {samples.values.shape}")
    return Scan.from_file(grey_of(samples.values, stored), stored, nan="background", unknown=unknown)


def write_nifti_samples(path: Path, samples: Samples) -> None:
    """Write the numbers of a volume as they are, with their header. Its only text is the mark of the program.

    Raises:
        DataError: If the header does not describe the numbers, or the file cannot be written.
    """
    with naming(path):
        shape, dtype = described_by(samples.extra)
        if (shape, dtype.newbyteorder("=")) != (samples.values.shape, samples.values.dtype.newbyteorder("=")):
            raise DataError("expected a header that describes the numbers, got another")
    numbers = samples.values.astype(dtype, copy=False).tobytes(order="F")
    _write(path, with_mark(samples.extra) + numbers)


def write_nifti(path: Path, scan: Scan) -> None:
    """Write a volume with the order of axes, the affine, the shape and the type of numbers of its original file.

    The type is that of the file if it can hold every value, else that of the voxels. The only text is the mark of the
    program.

    Raises:
        DataError: If the scan is a picture, or the file cannot be written.
    """
    with naming(path):
        values, affine = scan.for_file()
    numbers, slope, intercept = _numbers(values, scan.stored)
    image = _image(numbers, affine, 1 if scan.stored is None else scan.stored.space, (slope, intercept))
    image.header["descrip"] = MARK.encode()
    _write(path, image.to_bytes())


def grey_of(numbers: np.ndarray, stored: StoredGrid) -> np.ndarray:
    """Apply slope and intercept to the numbers of a file, with the precision of float64, in the memory of float32.

    Raises:
        DataError: If `float32` cannot hold the grey values.
    """
    if (stored.slope, stored.intercept) == (1, 0):
        return numbers
    grey = np.empty(numbers.shape, np.float32, order="F")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for index in range(numbers.shape[-1]):
            exact = numbers[..., index].astype(np.float64) * stored.slope + stored.intercept
            grey[..., index] = exact
    largest = np.abs(grey).max()
    vanishing = largest < SMALLEST and numbers.any() and not stored.intercept
    if vanishing or (np.isinf(largest) and np.isfinite(numbers[np.isinf(grey)]).any()):
        raise DataError(f"expected grey values that float32 can hold, got a slope of {stored.slope:g}")
    return grey


def _image(numbers: np.ndarray, affine: np.ndarray, space: int, scaling: tuple[float, float]) -> Any:
    import nibabel

    image = nibabel.Nifti1Image(numbers, affine, dtype=numbers.dtype)
    image.header.set_xyzt_units(xyz="mm")
    image.set_sform(affine, code=space)
    image.set_qform(affine, code=space, strip_shears=True)
    image.header.set_slope_inter(*scaling)
    return image


def _write(path: Path, data: bytes) -> None:
    with atomic_file(path, durable=False) as building:
        building.write_bytes(gzip.compress(data, 1, mtime=0) if path.name.lower().endswith(".gz") else data)


@contextmanager
def _opened(path: Path, spacing_mm: Sequence[float] | None) -> Iterator[tuple[Unpacked, Layout]]:
    """Open the file of the voxels, and read the header."""
    header = _partner(path) if suffix_of(path) in PAIRED_SUFFIXES else path
    voxels = _partner(path) if suffix_of(path) in (".hdr", ".hdr.gz") else path
    with unpacked(header) as source:
        if suffix_of(path) in (".mgh", ".mgz"):
            layout = mgh_layout(source.start, spacing_mm=spacing_mm)
        else:
            layout = nifti_layout(header, source.start, spacing_mm=spacing_mm)
        if voxels == header:
            yield source, layout
            return
    check_beside(voxels, header)
    with unpacked(voxels) as source:
        yield source, layout


def _partner(path: Path) -> Path:
    """Return the other file of a pair.

    Raises:
        DataError: If it is missing.
    """
    suffix = suffix_of(path)
    stem, other = path.name[: -len(suffix)], _PAIR[suffix]
    other = other if path.name[-len(suffix) :].islower() else other.upper()
    for ending in (other, f"{other}.gz"):
        found = path.with_name(stem + ending)
        if found.exists():
            check_regular(found)
            return found
    raise DataError(f"its {other} file is missing")


def _numbers_in(source: Unpacked, layout: Layout, *, volume: int | str | None, max_gigabytes: float) -> np.ndarray:
    shape, itemsize = layout.shape, layout.dtype.itemsize
    count = math.prod(shape[3:])
    chosen = choose_volume(volume, count=count, shape=shape)
    voxels = math.prod(shape[:3])
    total = layout.offset + voxels * count * itemsize
    if (layout.slope, layout.intercept) != (1, 0):  # float32 takes the place of smaller numbers
        check_memory(4 * voxels, max_gigabytes=max_gigabytes)
    content = source.take(
        layout.offset + chosen * voxels * itemsize, voxels * itemsize, total=total, max_gigabytes=max_gigabytes
    )
    return content.view(layout.dtype).reshape(shape if count == 1 else shape[:3], order="F")


def _stored(layout: Layout, shape: tuple[int, ...]) -> StoredGrid:
    return StoredGrid(
        shape=shape,
        affine=layout.affine,
        dtype=layout.dtype.newbyteorder("="),
        slope=layout.slope,
        intercept=layout.intercept,
        space=layout.space,
    )


def _numbers(values: np.ndarray, stored: StoredGrid | None) -> tuple[np.ndarray, float, float]:
    """Return the numbers to store for grey values, with the file's type if they fit, and slope and intercept."""
    as_they_are = values, 1.0, 0.0
    if stored is None or stored.dtype.name in ("bool", "float16"):  # which NIfTI does not know
        return as_they_are
    if stored.dtype.kind == "f":
        return values.astype(stored.dtype), 1.0, 0.0
    numbers = values
    if (stored.slope, stored.intercept) != (1.0, 0.0):
        numbers = np.rint((values.astype(np.float64) - stored.intercept) / stored.slope)
    elif values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        return as_they_are
    limits = np.iinfo(stored.dtype)
    if numbers.min() < limits.min or numbers.max() > limits.max:
        return as_they_are
    return numbers.astype(stored.dtype), stored.slope, stored.intercept
