"""A scan: voxels with what is needed to write them back, and nothing that identifies a person."""

from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError

VOXEL_TYPES = ("uint8", "uint16", "int16", "int32", "float32")
"""Types that the voxels of a scan may have; others become the next of these that holds their values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredGrid:
    """How a file held a volume before it was turned to canonical order, so that it is written back the same.

    Attributes:
        shape: Shape in the file, two or three axes and any further ones of length 1.
        affine: `(4, 4)` map from voxel indices in the file to scanner coordinates (RAS+) in mm.
        dtype: Type of the numbers in the file.
        slope: The file's numbers times `slope` plus `intercept` are the grey values.
        intercept: See `slope`.
        space: NIfTI's code for what the coordinates refer to: 0 unknown, 1 scanner, 2 aligned, 3 Talairach, 4 MNI152.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0
    space: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """Voxels and their place in space.

    Attributes:
        voxels: Grey values in the scan's own units and type (one of `VOXEL_TYPES`), always finite. A picture is
            `(h, w)`, row 0 on top. A volume is `(x, y, z)` in canonical order: x runs to the subject's right, y to the
            front, z to the top (RAS+), each as nearly as its file's axes do; oblique volumes are not resampled. In
            memory the axes may lie in another order, that of the file.
        spacing_mm: Distance between voxel centres along each axis of `voxels`, in mm; None where the file does not say.
        affine: `(4, 4)` map from indices of `voxels` to scanner coordinates (RAS+) in mm; None for pictures.
        stored: How the file held the volume; None for pictures and for volumes that come from no file.
        modality: "MR", "CT", "CR", "DX" and so on as in DICOM; "" where the file does not say.
        window: Grey values `(low, high)` between which the file says to display it; None where it does not say.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    stored: StoredGrid | None = None
    modality: str = ""
    window: tuple[float, float] | None = None

    @property
    def is_volume(self) -> bool:
        """Whether this is a volume `(x, y, z)` and not a picture `(h, w)`."""
        return self.voxels.ndim == 3

    @property
    def bit_depth(self) -> int:
        """Bits that hold one voxel: 8, 16 or 32."""
        return 8 * self.voxels.dtype.itemsize


def as_voxels(values: np.ndarray) -> np.ndarray:
    """Return real numbers of any type and byte order as one of `VOXEL_TYPES`; what fits is not copied.

    Integers stay integers where 32 bits hold them; all else becomes `float32`.

    Raises:
        DataError: The values are not real numbers, or not all are finite in `float32`.
    """
    if values.dtype.kind not in "buif":
        raise DataError(f"holds values of type {values.dtype}; real numbers are expected")
    if not values.size:
        raise DataError(f"holds no voxels (shape {values.shape})")
    voxels = values.astype(_voxel_type(values), copy=False)
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise DataError(f"{bad} of {voxels.size} voxels are not finite numbers; replace them, for example by 0")
    return voxels


def choose_volume(volume: int | None, *, count: int, shape: tuple[int, ...]) -> int:
    """Return which of the `count` volumes of a file is meant.

    Raises:
        DataError: There are several and none is chosen, or there are not as many.
    """
    if volume is None:
        if count == 1:
            return 0
        sizes = "×".join(str(length) for length in shape)
        raise DataError(f"holds {count} volumes ({sizes}); choose one with volume=0 to volume={count - 1}")
    if not 0 <= volume < count:
        last = f"volume 0 to {count - 1}" if count > 1 else "volume 0 alone"
        raise DataError(f"holds {last}, but volume {volume} is asked for")
    return volume


def _voxel_type(values: np.ndarray) -> str:
    if values.dtype.name in VOXEL_TYPES:
        return values.dtype.name
    if values.dtype.kind == "b":
        return "uint8"
    if values.dtype.kind == "f":
        return "float32"
    if values.dtype.itemsize == 1:
        return "int16"
    limits = np.iinfo(np.int32)
    return "int32" if limits.min <= values.min() and values.max() <= limits.max else "float32"
