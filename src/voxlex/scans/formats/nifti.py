"""Read and write NIfTI files, and read Analyze and FreeSurfer's MGH files, with nibabel."""

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxlex.errors import DataError, naming
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.formats.gzipped import decompress
from voxlex.scans.grid import StoredGrid
from voxlex.scans.scan import Scan, choose_volume

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

_MM = {"meter": 1000.0, "micron": 0.001}
_ANALYZE_AXES = {  # where columns, rows and slices run to, by Analyze's code of orientation
    0: ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),  # transverse: left, front, top
    1: ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),  # coronal: left, top, front
    2: ((0, 1, 0), (0, 0, 1), (-1, 0, 0)),  # sagittal: front, top, left
}


def read_nifti(path: Path, *, volume: int | None = None) -> Scan:
    """Read a NIfTI-1 or NIfTI-2, Analyze 7.5 or MGH file as a volume.

    A NIfTI file's place in space is its sform, else its qform, else its voxel sizes alone; x is then taken to run to
    the left, as nibabel does. Analyze files are read as their code of orientation says; they have no origin. Text in
    the header and the extensions stay in the file.

    Args:
        path: A `.nii`, `.nii.gz`, `.hdr` (with its `.img`), `.mgh` or `.mgz` file.
        volume: Index of the volume, from 0, in a file with a fourth axis.

    Raises:
        DataError: If the file is damaged, of another kind, has a fourth axis and no `volume` is chosen, or holds no
            usable affine or voxels.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        image = _load(path)
        values, shape = _values(image, volume)
        return Scan.from_file(values, _stored_grid(image, shape))
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from cause
    except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
        raise DataError(f"{path}: the compressed file is damaged or cut short") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: its .img file is missing") from cause
    except Exception as cause:  # damaged headers make nibabel raise nearly anything
        raise DataError(f"{path}: cannot be read: it is of another kind, damaged or cut short") from cause


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


def _load(path: Path) -> "SpatialImage":
    import nibabel

    if path.suffix.lower() in (".mgh", ".mgz"):  # by its path nibabel would open it and not close it
        content = path.read_bytes()
        return nibabel.MGHImage.from_bytes(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    image = nibabel.load(path, mmap=False)
    if not isinstance(image, nibabel.AnalyzeImage):  # which is what NIfTI is made on top of
        raise DataError("expected a volume, got something else stored as NIfTI, such as a surface")
    return image


def _values(image: "SpatialImage", volume: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the grey values of the chosen volume, and the shape of a file that holds it alone."""
    shape = tuple(int(length) for length in image.shape)
    if image.get_data_dtype().kind not in "buif":
        raise DataError(f"expected real numbers, got values of type {image.get_data_dtype()}")
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"expected a volume, got an array of shape {shape}")
    further = shape[3:]
    count = math.prod(further)
    chosen = choose_volume(volume, count=count, shape=shape)
    if count == 1:
        return _whole(image), shape
    position = np.unravel_index(chosen, further, order="F")
    return np.asarray(image.dataobj[(..., *(int(index) for index in position))]), shape[:3]


def _whole(image: "SpatialImage") -> np.ndarray:
    from nibabel.arrayproxy import ArrayProxy

    proxy, path = image.dataobj, image.get_filename()
    if path is None or not path.lower().endswith(".gz"):
        return np.asarray(proxy)
    spec = (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter)
    count = math.prod(proxy.shape)
    content = decompress(Path(path), size=proxy.offset + count * proxy.dtype.itemsize)
    if content is None:
        with gzip.open(path) as stream:
            values = np.asarray(ArrayProxy(stream, spec, mmap=False))
            while stream.read(1 << 20):  # only at the end are length and checksum compared
                pass
        return values
    if (proxy.slope, proxy.inter) != (1, 0):
        return np.asarray(ArrayProxy(BytesIO(content), spec, mmap=False))
    return np.frombuffer(content, proxy.dtype, count, proxy.offset).reshape(proxy.shape, order="F")


def _stored_grid(image: "SpatialImage", shape: tuple[int, ...]) -> StoredGrid:
    import nibabel

    affine, space = np.array(image.affine, np.float64), 1
    if isinstance(image, nibabel.Nifti1Pair):
        affine[:3] *= _MM.get(image.header.get_xyzt_units()[0], 1.0)
        space = int(image.header["sform_code"]) or int(image.header["qform_code"])
    elif isinstance(image, nibabel.AnalyzeImage) and not _mat_file(image):
        affine = _analyze_affine(image, shape)
    return StoredGrid(
        shape=shape,
        affine=affine,
        dtype=image.get_data_dtype().newbyteorder("="),
        slope=float(image.dataobj.slope),
        intercept=float(image.dataobj.inter),
        space=space,
    )


def _mat_file(image: "SpatialImage") -> bool:
    """Tell whether there is an affine from SPM beside the file."""
    return "mat" in image.file_map and Path(image.file_map["mat"].filename).exists()


def _analyze_affine(image: "SpatialImage", shape: tuple[int, ...]) -> np.ndarray:
    code = int(image.header["orient"].tobytes()[0])
    if code not in _ANALYZE_AXES:
        raise DataError(f"expected an Analyze orientation from 0 to 2, got {code}; convert the file to NIfTI")
    affine = np.eye(4)
    affine[:3, :3] = np.array(_ANALYZE_AXES[code]).T * (*image.header.get_zooms(), 1.0, 1.0)[:3]
    lengths = (*shape, 1, 1)[:3]
    affine[:3, 3] = (
        -affine[:3, :3] @ (np.array(lengths) - 1) / 2
    )  # the origin is arbitrary; the middle is a good choice
    return affine


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
