"""Read NIfTI, Analyze and FreeSurfer's MGH files, and write NIfTI files."""

import gzip
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxlex.config.options import Nan
from voxlex.errors import DataError, naming
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.formats.content import Unpacked, check_beside, check_memory, check_regular, unpacked
from voxlex.scans.formats.nifti_header import Layout, mgh_layout, nifti_layout
from voxlex.scans.grid import StoredGrid
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
    with naming(path):
        header = _partner(path) if suffix_of(path) in PAIRED_SUFFIXES else path
        voxels = _partner(path) if suffix_of(path) in (".hdr", ".hdr.gz") else path
        with unpacked(header) as source:
            if suffix_of(path) in (".mgh", ".mgz"):
                layout = mgh_layout(source.start, spacing_mm=spacing_mm)
            else:
                layout = nifti_layout(header, source.start, spacing_mm=spacing_mm)
            if voxels == header:
                return _scan(source, layout, volume=volume, nan=nan, max_gigabytes=max_gigabytes)
        check_beside(voxels, header)
        with unpacked(voxels) as source:
            return _scan(source, layout, volume=volume, nan=nan, max_gigabytes=max_gigabytes)


def write_nifti(path: Path, scan: Scan) -> None:
    """Write a volume with the order of axes, the affine, the shape and the type of numbers of its original file.

    The type is that of the file if it can hold every value, else that of the voxels. The only text is the mark of the
    program.

    Raises:
        DataError: If the scan is a picture, or the file cannot be written.
    """
    import nibabel

    with naming(path):
        values, affine = scan.for_file()
    numbers, slope, intercept = _numbers(values, scan.stored)
    image = nibabel.Nifti1Image(numbers, affine, dtype=numbers.dtype)
    space = 1 if scan.stored is None else scan.stored.space
    image.header.set_xyzt_units(xyz="mm")
    image.set_sform(affine, code=space)
    image.set_qform(affine, code=space, strip_shears=True)
    image.header.set_slope_inter(slope, intercept)
    image.header["descrip"] = MARK.encode()
    with atomic_file(path, durable=False) as building:
        data = image.to_bytes()
        building.write_bytes(gzip.compress(data, 1, mtime=0) if path.name.lower().endswith(".gz") else data)


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


def _scan(source: Unpacked, layout: Layout, *, volume: int | str | None, nan: Nan, max_gigabytes: float) -> Scan:
    shape, itemsize = layout.shape, layout.dtype.itemsize
    further = shape[3:]
    count = math.prod(further)
    chosen = choose_volume(volume, count=count, shape=shape)
    voxels = math.prod(shape[:3])
    total = layout.offset + voxels * count * itemsize
    if (layout.slope, layout.intercept) != (1, 0):  # float32 takes the place of smaller numbers
        check_memory(4 * voxels, max_gigabytes=max_gigabytes)
    content = source.take(
        layout.offset + chosen * voxels * itemsize, voxels * itemsize, total=total, max_gigabytes=max_gigabytes
    )
    shape = shape if count == 1 else shape[:3]
    values = _grey(content.view(layout.dtype).reshape(shape, order="F"), layout)
    stored = StoredGrid(
        shape=shape,
        affine=layout.affine,
        dtype=layout.dtype.newbyteorder("="),
        slope=layout.slope,
        intercept=layout.intercept,
        space=layout.space,
    )
    return Scan.from_file(values, stored, nan=nan, unknown=layout.unknown)


def _grey(numbers: np.ndarray, layout: Layout) -> np.ndarray:
    """Apply slope and intercept with the precision of float64, in the memory of float32."""
    if (layout.slope, layout.intercept) == (1, 0):
        return numbers
    grey = np.empty(numbers.shape, np.float32, order="F")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for index in range(numbers.shape[-1]):
            exact = numbers[..., index].astype(np.float64) * layout.slope + layout.intercept
            grey[..., index] = exact
    largest = np.abs(grey).max()
    vanishing = largest < SMALLEST and numbers.any() and not layout.intercept
    if vanishing or (np.isinf(largest) and np.isfinite(numbers[np.isinf(grey)]).any()):
        raise DataError(f"expected grey values that float32 can hold, got a slope of {layout.slope:g}")
    return grey


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
