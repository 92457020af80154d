"""Scans: voxels with the facts that are needed to write them, and without facts that identify a person."""

from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.grid import StoredGrid

VOXEL_TYPES = ("uint8", "uint16", "int16", "int32", "float32")
"""Types of the voxels of a scan. Other types are converted to the next of these that can hold the values."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R 601)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """Voxels with their position in space.

    Attributes:
        voxels: Grey values in the scan's own units and type (one of `VOXEL_TYPES`), always finite. A picture is
            `(h, w)` with row 0 at the top. A volume is `(x, y, z)` in canonical order (RAS+): x runs to the subject's
            right, y to the front, and z to the top, as nearly as the axes of the file allow. Oblique volumes are not
            resampled. In memory, the axes may have the order of the file.
        spacing_mm: Distance between voxel centres along each axis of `voxels`, in mm; None if it is unknown.
        affine: `(4, 4)` map from indices of `voxels` to scanner coordinates (RAS+) in mm; None for pictures.
        stored: Grid of the volume in its file; None for pictures, and for volumes that do not come from a file.
        modality: "MR", "CT", "CR", "DX" and so on as in DICOM; "" if it is unknown.
        window: Range of grey values `(low, high)` to display; None if the file does not have one.
        notes: What a user should know of these voxels, such as that they were compressed with losses.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    stored: StoredGrid | None = None
    modality: str = ""
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_file(
        cls, values: np.ndarray, stored: StoredGrid, *, modality: str = "", window: tuple[float, float] | None = None
    ) -> "Scan":
        """Bring the grey values of a file to canonical order. Axes are permuted and flipped, but not resampled.

        Args:
            values: Grey values of shape `stored.shape`, with slope and intercept applied.
            stored: The file's own grid.
            modality: See `Scan`.
            window: See `Scan`.

        Raises:
            DataError: If the affine does not span a space, or the values cannot be voxels.
        """
        voxels = stored.to_canonical(as_voxels(values))
        if min(voxels.strides) < 0:  # PyTorch refuses negative strides; the copy keeps the order in memory
            voxels = voxels.copy(order="K")
        _, affine, spacing_mm = stored.canonical
        return cls(voxels=voxels, spacing_mm=spacing_mm, affine=affine, stored=stored, modality=modality, window=window)

    def for_file(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the voxels of a volume in the order of its file, with the affine for this order.

        Without a stored grid, the order is canonical.

        Raises:
            DataError: If the scan is a picture, or its voxels do not fit its stored grid.
        """
        if not self.is_volume or self.affine is None:
            raise DataError("expected a volume, got a picture; write it as PNG or TIFF")
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
    """Convert real numbers of any type and byte order to one of `VOXEL_TYPES`, without a copy if possible.

    Integers that fit into 32 bits stay integers. All other numbers become `float32`.

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


def choose_volume(volume: int | str | None, *, count: int, shape: tuple[int, ...]) -> int:
    """Return the index of the chosen volume of a file with `count` volumes, which are known by number only.

    Raises:
        DataError: If there are several volumes and none is chosen, or the choice is not one of them.
    """
    if volume is None:
        if count == 1:
            return 0
        sizes = "×".join(str(length) for length in shape)
        raise DataError(
            f"expected one volume, got {count} ({sizes}); choose one with volume=0 to volume={count - 1}, "
            f"or --volume 0 to --volume {count - 1} on the command line"
        )
    if isinstance(volume, str):
        raise DataError(f"expected the number of a volume, 0 to {count - 1}, got {volume!r}; its volumes have no names")
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
