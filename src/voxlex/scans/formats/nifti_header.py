"""What the headers of NIfTI and Analyze files say, and what they do not say.

The headers are parsed by nibabel without its repairs, which would turn an unknown distance of 0 into 1 mm and say so on
the terminal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.errors import DataError
from voxlex.outputs import MARK
from voxlex.scans.formats.content import check_beside, kind_of
from voxlex.scans.grid import with_spacing

_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
_PLAUSIBLE_MM = (0.01, 100.0)  # spacings in mm, where a file does not name its unit
_COLOUR = {128: "RGB24", 2304: "RGBA32"}
_OTHERS = {1: "single bits", 1536: "128-bit floats", 2048: "256-bit complex numbers"}
_SIZES = {348: 1, 540: 2}
_CIFTI = range(3000, 3100)  # codes of intent of surfaces and parcels
_SPACES = range(6)
_NUMBERS = (
    *("dim_info", "intent_p1", "intent_p2", "intent_p3", "intent_code", "datatype", "bitpix", "pixdim", "xyzt_units"),
    *("slice_start", "slice_end", "slice_code", "slice_duration", "toffset", "scl_slope", "scl_inter", "cal_max"),
    *("cal_min", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y"),
    *("qoffset_z", "srow_x", "srow_y", "srow_z"),
)
"""Fields of a NIfTI header that describe voxels. The others hold text, or are not used any more."""

_LARGEST_MAT = 1_000_000
_ANALYZE_AXES = {  # where columns, rows and slices run to, by Analyze's code of orientation
    0: ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),  # transverse: left, front, top
    1: ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),  # coronal: left, top, front
    2: ((0, 1, 0), (0, 0, 1), (-1, 0, 0)),  # sagittal: front, top, left
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file holds its voxels.

    Attributes:
        shape: Lengths of the axes, the first of which varies fastest.
        dtype: Type of the numbers, with their byte order.
        offset: Where the numbers begin in their file, in bytes.
        slope: Grey values are the numbers times `slope` plus `intercept`.
        intercept: See `slope`.
        affine: Map from voxel indices to scanner coordinates (RAS+) in mm.
        space: NIfTI code of the coordinate space.
        unknown: What the file does not say; see `Scan.unknown`.
        header: The NIfTI header of the file; None if it has another one.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    affine: np.ndarray
    space: int
    unknown: tuple[str, ...] = ()
    header: bytes | None = None


def nifti_layout(path: Path, start: bytes, *, spacing_mm: Sequence[float] | None) -> Layout:
    """Read the header of a NIfTI-1 or NIfTI-2 file, or of an Analyze 7.5 pair.

    Args:
        path: The file of the header.
        start: Its first bytes, at least 540 if there are as many.
        spacing_mm: Distance between voxels, where the file does not say it.

    Raises:
        DataError: If it is of another kind, is damaged, or does not say something without which it cannot be used.
    """
    import nibabel

    version = _version(path, start)
    if version == 0:
        return _analyze_layout(path, nibabel.spm2analyze.Spm2AnalyzeHeader(start[:348], check=False), spacing_mm)
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header: Any = kind(start[: 348 if version == 1 else 540], check=False)
    if int(header["intent_code"]) in _CIFTI:
        raise DataError("expected a volume, got something else stored as NIfTI, such as a surface")
    shape, dtype = _shape(header), _dtype(header)
    slope, intercept = _scaling(header)
    single = bytes(header["magic"]).startswith(b"n+")
    space, unknown = space_of(header)
    unit = int(header["xyzt_units"]) & 7
    if not int(header["sform_code"]):
        steps, doubts = with_spacing([float(step) for step in header["pixdim"][1:4]], shape, spacing_mm)
        unit = 2 if "spacing" in doubts else unit
        header["pixdim"][1:4] = steps
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1  # NIfTI: 0 counts as 1; nibabel wants one of these
        unknown = (*doubts, *unknown)
    try:
        affine = np.array(header.get_best_affine(), np.float64)
    except Exception:
        raise DataError("its header is damaged: its qform is not a rotation") from None
    affine = in_mm(affine, shape, unit=unit)
    if not math.isfinite(float(header["vox_offset"])):
        raise DataError("its header is damaged: it does not say where its voxels begin")
    offset = int(header["vox_offset"]) if single else max(0, int(header["vox_offset"]))
    if single and offset < header.single_vox_offset and offset != 0:
        raise DataError(f"its header is damaged: expected voxels behind the header, got a start at byte {offset}")
    return Layout(
        shape=shape,
        dtype=dtype,
        offset=max(offset, header.single_vox_offset) if single else offset,
        slope=slope,
        intercept=intercept,
        affine=affine,
        space=space,
        unknown=unknown,
        header=start[: 348 if version == 1 else 540],
    )


def space_of(header: Any) -> tuple[int, tuple[str, ...]]:
    """Return the code of the coordinate space of a NIfTI header, and "orientation" if it is unknown.

    Raises:
        DataError: If a code, or the unit of length, is none that NIfTI knows.
    """
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if int(header["xyzt_units"]) & 7 > 3 or sform < 0 or qform < 0:
        raise DataError("its header is damaged: expected known units of length and codes of space, got others")
    code = sform or qform
    return code if code in _SPACES else 2, () if code else ("orientation",)


def in_mm(affine: np.ndarray, shape: tuple[int, ...], *, unit: int) -> np.ndarray:
    """Return an affine in mm, from one in the unit that a NIfTI header names.

    Args:
        affine: `(4, 4)` map from voxel indices.
        shape: Lengths of the axes.
        unit: NIfTI's code of the unit of length; 0 if the header names none, which is taken to be mm.

    Raises:
        DataError: If no unit is named, and mm are not plausible.
    """
    scaled = affine.copy()
    scaled[:3] *= _MM.get(unit, 1.0)
    if unit == 0:
        _check_plausible(scaled, shape)
    return scaled


def numbers_of_header(header: bytes, *, shape: tuple[int, ...]) -> bytes:
    """Return a NIfTI header with the numbers of another, but without its text, for a single file.

    Args:
        header: The header, of 348 or 540 bytes.
        shape: The shape that it is to have; axes of length 1 may stand behind it.
    """
    given = _parsed(header)
    own = type(given)(endianness=given.endianness)
    for name in _NUMBERS:
        own[name] = given[name]
    own["dim"][:] = [len(shape), *shape, *[1] * (7 - len(shape))]
    own["magic"], own["vox_offset"] = own.single_magic, own.single_vox_offset
    return bytes(own.binaryblock)


def described_by(header: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type of the numbers, with their byte order, that a NIfTI header describes.

    Raises:
        DataError: If it is damaged.
    """
    given = _parsed(header)
    return _shape(given), _dtype(given)


def with_mark(header: bytes) -> bytes:
    """Return what stands before the numbers in a file: the header with the mark of the program, and no extension."""
    own = _parsed(header)
    own["descrip"] = MARK.encode()
    return bytes(own.binaryblock) + bytes(4)


def _parsed(header: bytes) -> Any:
    import nibabel

    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    if len(header) not in kinds:
        raise DataError(f"expected a NIfTI header of 348 or 540 bytes, got {len(header)} bytes")
    return kinds[len(header)](header, check=False)


def _version(path: Path, start: bytes) -> int:
    """Return 1 or 2 for NIfTI, and 0 for Analyze."""
    sizes = {int.from_bytes(start[:4], order): order for order in ("little", "big")}
    size = next((size for size in sizes if size in _SIZES), None)
    pair = path.name.lower().removesuffix(".gz").endswith(".hdr")
    if size is None:
        raise DataError(f"expected a {'NIfTI or Analyze header' if pair else 'NIfTI file'}, got {kind_of(start)}")
    if len(start) < size:
        raise DataError("is damaged or cut short: its header is not complete")
    magic = start[344:348] if size == 348 else start[4:8]
    if magic[:3] in (b"n+1", b"n+2"):
        return _SIZES[size]
    if magic[:3] in (b"ni1", b"ni2"):
        if not pair:
            raise DataError("expected a NIfTI file, got the header of a pair; call it .hdr, beside its .img")
        return _SIZES[size]
    if size == 348 and pair:
        return 0
    raise DataError("expected a NIfTI file, got one without NIfTI's mark: it is of another kind or damaged")


def _shape(header: Any) -> tuple[int, ...]:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise DataError(f"its header is damaged: expected 1 to 7 axes, got {count}")
    shape = tuple(int(length) for length in header["dim"][1 : count + 1])
    if len(shape) < 2 or min(shape) < 1:
        raise DataError(f"expected a volume, got an array of shape {shape}")
    return shape


def _dtype(header: Any) -> np.dtype:
    code = int(header["datatype"])
    if code in _COLOUR:
        raise DataError(f"expected one number for each voxel, got colour ({_COLOUR[code]}); convert it to grey first")
    if code in _OTHERS:
        raise DataError(f"expected real numbers of at most 64 bits, got {_OTHERS[code]}")
    try:
        dtype = np.dtype(header.get_data_dtype())
    except Exception:
        raise DataError(f"its header is damaged: expected a known type of numbers, got the code {code}") from None
    if dtype.kind not in "buif":
        raise DataError(f"expected real numbers, got values of type {dtype}")
    bits = int(header["bitpix"])
    if bits not in (0, 8 * dtype.itemsize):
        raise DataError(f"its header contradicts itself: its numbers have {8 * dtype.itemsize} bits, and {bits} bits")
    return dtype


def _scaling(header: Any) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):  # both mean that there is none: nibabel's headers have NaN until they are set
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise DataError(
            f"expected a finite slope and intercept, got {slope} and {intercept}: its grey values are not known"
        )
    return slope, intercept


def _check_plausible(affine: np.ndarray, shape: tuple[int, ...]) -> None:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)[: len(shape)]
    low, high = _PLAUSIBLE_MM
    if np.isfinite(lengths).all() and (lengths > 0).all() and not (low <= lengths.min() and lengths.max() <= high):
        raise DataError(
            f"does not name its unit of length, and {lengths.min():.3g} to {lengths.max():.3g} mm between voxels are "
            "not plausible; set its unit (xyzt_units)"
        )


def _analyze_layout(path: Path, header: Any, spacing_mm: Sequence[float] | None) -> Layout:
    shape, dtype = _shape(header), _dtype(header)
    try:
        slope, intercept = header.get_slope_inter()
    except Exception:
        raise DataError("expected a finite slope and intercept, got others: its grey values are not known") from None
    affine = _mat_file(path)
    doubts: tuple[str, ...] = ()
    if affine is None:
        steps, doubts = with_spacing([float(step) for step in header["pixdim"][1:4]], shape, spacing_mm)
        affine = _analyze_affine(header, shape, steps)
    return Layout(
        shape=shape,
        dtype=dtype,
        offset=max(0, int(header["vox_offset"])),
        slope=1.0 if slope is None else float(slope),
        intercept=float(intercept or 0.0),
        affine=affine,
        space=1,
        unknown=doubts,
    )


def _analyze_affine(header: Any, shape: tuple[int, ...], steps: tuple[float, ...]) -> np.ndarray:
    code = int(header["orient"].tobytes()[0])
    if code not in _ANALYZE_AXES:
        raise DataError(f"expected an Analyze orientation from 0 to 2, got {code}; convert the file to NIfTI")
    affine = np.eye(4)
    affine[:3, :3] = np.array(_ANALYZE_AXES[code]).T * steps
    # The origin is arbitrary; the middle is a good choice.
    affine[:3, 3] = -affine[:3, :3] @ (np.array((*shape, 1, 1)[:3]) - 1) / 2
    return affine


def _mat_file(path: Path) -> np.ndarray | None:
    """Return the affine that SPM keeps in a file beside an Analyze pair; None if there is no such file."""
    mat = path.with_name(path.name[: path.name.lower().rindex(".hdr")] + ".mat")
    if not mat.exists():
        return None
    from scipy.io import loadmat

    check_beside(mat, path)
    if mat.stat().st_size > _LARGEST_MAT:
        raise DataError(f"expected an affine in {mat.name}, got a file of {mat.stat().st_size:,} bytes")
    try:
        found = loadmat(BytesIO(mat.read_bytes()))
        affine = np.array(found["mat"] if "mat" in found else np.diag([-1, 1, 1, 1]) @ found["M"], np.float64)
    except Exception:
        raise DataError(f"expected an affine in {mat.name}, got something else") from None
    affine = affine[:, :, 0] if affine.ndim == 3 else affine
    if affine.shape != (4, 4):
        raise DataError(f"expected an affine (4, 4) in {mat.name}, got the shape {affine.shape}")
    first = np.eye(4)
    first[:3, 3] = 1  # Matlab counts voxels from 1
    return affine @ first
