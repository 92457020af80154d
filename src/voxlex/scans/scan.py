"""A scan: voxels with what is needed to write them back, and nothing that identifies a person."""

from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.grid import StoredGrid

VOXEL_TYPES = ("uint8", "uint16", "int16", "int32", "float32")
"""Types that the voxels of a scan may have; others become the next of these that holds their values."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R 601)."""


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

    @classmethod
    def from_file(
        cls, values: np.ndarray, stored: StoredGrid, *, modality: str = "", window: tuple[float, float] | None = None
    ) -> "Scan":
        """Turn the grey values of a file to canonical order; axes are exchanged and turned round, nothing is resampled.

        Args:
            values: Grey values (slope and intercept applied) of the shape `stored.shape`.
            stored: The file's own grid.
            modality: See `Scan`.
            window: See `Scan`.

        Raises:
            DataError: If the affine does not span a space, or the values cannot be voxels.
        """
        voxels = stored.to_canonical(as_voxels(values))
        if min(voxels.strides) < 0:  # PyTorch takes no array that runs backwards; the order in memory stays the file's
            voxels = voxels.copy(order="K")
        _, affine, spacing_mm = stored.canonical
        return cls(voxels=voxels, spacing_mm=spacing_mm, affine=affine, stored=stored, modality=modality, window=window)

    def for_file(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the voxels of a volume in the order of its file, and the affine that belongs to them.

        Without a stored grid these are the canonical ones.

        Raises:
            DataError: If the scan is a picture, or its voxels do not fit its stored grid.
        """
        if not self.is_volume or self.affine is None:
            raise DataError("expected a volume, got a picture, which has no place in space; write it as PNG or TIFF")
        if self.stored is None:
            return self.voxels, self.affine
        return self.stored.from_canonical(self.voxels), self.stored.affine

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
        DataError: If the values are not real numbers, or not all are finite in `float32`.
    """
    if values.dtype.kind not in "buif":
        raise DataError(f"expected real numbers, got values of type {values.dtype}")
    if not values.size:
        raise DataError(f"expected at least one voxel, got an array of shape {values.shape}")
    voxels = values.astype(_voxel_type(values), copy=False)
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise DataError(f"{bad} of {voxels.size} voxels are not finite numbers; replace them, for example by 0")
    return voxels


def choose_volume(volume: int | None, *, count: int, shape: tuple[int, ...]) -> int:
    """Return which of the `count` volumes of a file is meant.

    Raises:
        DataError: If there are several and none is chosen, or there are not as many.
    """
    if volume is None:
        if count == 1:
            return 0
        sizes = "×".join(str(length) for length in shape)
        raise DataError(f"expected one volume, got {count} ({sizes}); choose one with volume=0 to volume={count - 1}")
    if not 0 <= volume < count:
        last = f"volume 0 to {count - 1}" if count > 1 else "volume 0 alone"
        raise DataError(f"expected {last}, got volume {volume}")
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
