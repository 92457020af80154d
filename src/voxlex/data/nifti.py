"""NIfTI volumes to scans and back, by nibabel."""

import gzip
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxlex.data.atomic import atomic_file
from voxlex.data.orientation import to_canonical, to_stored
from voxlex.data.scan import Scan, StoredGrid, choose_volume
from voxlex.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SUFFIXES = (".nii", ".nii.gz")
"""File suffixes of NIfTI, in lower case."""

_MM = {"meter": 1000.0, "micron": 0.001}


def read_nifti(path: Path, *, volume: int | None = None) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file as a volume.

    The place in space is the sform where the file has one, else the qform, else voxel sizes alone (then x is taken to
    run to the left, as nibabel does). Text in the header and its extensions are left in the file.

    Args:
        path: A `.nii` or `.nii.gz` file.
        volume: Which volume of a file with a fourth axis, from 0.

    Raises:
        DataError: The file is damaged, no NIfTI, has a fourth axis and no `volume` is chosen, or holds no usable
            affine or voxels.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path, mmap=False)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise DataError("holds no volume but something else in NIfTI's clothes, such as a surface")
        values, shape = _values(image, volume)
        return to_canonical(values, _stored_grid(image, shape))
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: no such file") from cause
    except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
        raise DataError(f"{path}: the compressed file is damaged or cut short") from cause
    except (ImageFileError, HeaderDataError, ValueError, OSError) as cause:
        raise DataError(f"{path}: is no NIfTI file, or is damaged or cut short") from cause


def write_nifti(path: Path, scan: Scan) -> None:
    """Write a volume in the grid of the file that it came from: its order of axes, affine, shape and type of numbers.

    The type is that of the file where it holds every value, else that of the voxels. No text is written.

    Raises:
        DataError: The scan is a picture, or the file cannot be written.
    """
    import nibabel

    try:
        values, affine = to_stored(scan)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from cause
    numbers, slope, intercept = _numbers(values, scan.stored)
    image = nibabel.Nifti1Image(numbers, affine, dtype=numbers.dtype)
    space = 1 if scan.stored is None else scan.stored.space
    image.header.set_xyzt_units(xyz="mm")
    image.set_sform(affine, code=space)
    image.set_qform(affine, code=space, strip_shears=True)
    image.header.set_slope_inter(slope, intercept)
    with atomic_file(path) as building:
        data = image.to_bytes()
        building.write_bytes(gzip.compress(data, 1, mtime=0) if path.name.lower().endswith(".gz") else data)


def _values(image: "Nifti1Image", volume: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
    """The grey values of the chosen volume, and the shape that a file of it alone has."""
    shape = tuple(int(length) for length in image.shape)
    if image.get_data_dtype().kind not in "buif":
        raise DataError(f"holds values of type {image.get_data_dtype()}; real numbers are expected")
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"holds no volume (shape {shape})")
    further = shape[3:]
    count = math.prod(further)
    chosen = choose_volume(volume, count=count, shape=shape)
    if count == 1:
        return _whole(image), shape
    position = np.unravel_index(chosen, further, order="F")
    return np.asarray(image.dataobj[(..., *(int(index) for index in position))]), shape[:3]


def _whole(image: "Nifti1Image") -> np.ndarray:
    from nibabel.arrayproxy import ArrayProxy

    proxy, path = image.dataobj, image.get_filename()
    if not path.lower().endswith(".gz"):
        return np.asarray(proxy)
    with gzip.open(path) as stream:
        spec = (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter)
        values = np.asarray(ArrayProxy(stream, spec, mmap=False))
        while stream.read(1 << 20):  # only at the end are length and checksum compared
            pass
    return values


def _stored_grid(image: "Nifti1Image", shape: tuple[int, ...]) -> StoredGrid:
    affine = np.array(image.affine, np.float64)
    affine[:3] *= _MM.get(image.header.get_xyzt_units()[0], 1.0)
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    return StoredGrid(
        shape=shape,
        affine=affine,
        dtype=image.get_data_dtype().newbyteorder("="),
        slope=float(image.dataobj.slope),
        intercept=float(image.dataobj.inter),
        space=codes[0] or codes[1],
    )


def _numbers(values: np.ndarray, stored: StoredGrid | None) -> tuple[np.ndarray, float, float]:
    """What to put into the file for some grey values: numbers, slope and intercept."""
    if stored is None:
        return values, 1.0, 0.0
    if stored.dtype.kind == "f":
        return values.astype(stored.dtype), 1.0, 0.0
    limits = np.iinfo(stored.dtype) if stored.dtype.kind in "ui" else np.iinfo(np.uint8)
    if (stored.slope, stored.intercept) != (1.0, 0.0):
        numbers = np.rint((values.astype(np.float64) - stored.intercept) / stored.slope)
        slope, intercept = stored.slope, stored.intercept
    else:
        numbers, slope, intercept = values, 1.0, 0.0
        if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
            return values, 1.0, 0.0
    if numbers.min() < limits.min or numbers.max() > limits.max:
        return values, 1.0, 0.0
    return numbers.astype(stored.dtype), slope, intercept
