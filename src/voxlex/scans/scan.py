"""Scans: voxels with the facts that are needed to write them, and without facts that identify a person."""

import math
from dataclasses import dataclass

import numpy as np

from voxlex.config.options import Nan
from voxlex.errors import DataError
from voxlex.scans.grid import StoredGrid

VOXEL_TYPES = ("uint8", "uint16", "int16", "int32", "float32")
"""Types of the voxels of a scan. Other types are converted to the next of these that can hold the values."""

SMALLEST = 1e-36
"""Values that are all smaller lose their digits in `float32`."""

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
        missing: Where the file holds no finite number, true in an array with the shape of `voxels`; None if every
            voxel has one. These voxels have the value of the background, and are written as NaN.
        unknown: What the file does not say: "spacing" (then it was given by hand), "thickness" of its only slice,
            "orientation" (then the axes are taken to run as the format is usually understood).
        notes: What a user should know of these voxels, such as that they were compressed with losses.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    stored: StoredGrid | None = None
    modality: str = ""
    window: tuple[float, float] | None = None
    missing: np.ndarray | None = None
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_file(
        cls,
        values: np.ndarray,
        stored: StoredGrid,
        *,
        modality: str = "",
        window: tuple[float, float] | None = None,
        nan: Nan = "error",
        unknown: tuple[str, ...] = (),
    ) -> "Scan":
        """Bring the grey values of a file to canonical order. Axes are permuted and flipped, but not resampled.

        Args:
            values: Grey values of shape `stored.shape`, with slope and intercept applied.
            stored: The file's own grid.
            modality: See `Scan`.
            window: See `Scan`.
            nan: What values that are not finite mean; see `voxels_of`.
            unknown: See `Scan`.

        Raises:
            DataError: If the affine does not span a space, or the values cannot be voxels.
        """
        values, missing = voxels_of(values, nan=nan)
        voxels = stored.to_canonical(values)
        if min(voxels.strides) < 0:  # PyTorch refuses negative strides; the copy keeps the order in memory
            voxels = voxels.copy(order="K")
        _, affine, spacing_mm = stored.canonical
        return cls(
            voxels=voxels,
            spacing_mm=spacing_mm,
            affine=affine,
            stored=stored,
            modality=modality,
            window=window,
            missing=None if missing is None else stored.to_canonical(missing),
            unknown=unknown,
        )

    @classmethod
    def picture(cls, values: np.ndarray, *, spacing_mm: tuple[float, ...] | None = None, nan: Nan = "error") -> "Scan":
        """Make a picture of grey values `(h, w)` of any type.

        Raises:
            DataError: If the values cannot be pixels.
        """
        voxels, missing = voxels_of(values, nan=nan)
        return cls(voxels=voxels, spacing_mm=spacing_mm, missing=missing)

    @property
    def as_stored(self) -> np.ndarray:
        """The voxels, with NaN where the file had no finite number."""
        if self.missing is None or self.voxels.dtype.kind != "f":
            return self.voxels
        return np.where(self.missing, np.float32(np.nan), self.voxels)

    def for_file(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the voxels of a volume in the order of its file, with the affine for this order.

        Without a stored grid, the order is canonical.

        Raises:
            DataError: If the scan is a picture, or its voxels do not fit its stored grid.
        """
        if not self.is_volume or self.affine is None:
            raise DataError("expected a volume, got a picture; write it as PNG or TIFF")
        if self.stored is None:
            return self.as_stored, self.affine
        return self.stored.from_canonical(self.as_stored), self.stored.affine

    @property
    def is_volume(self) -> bool:
        """Whether this is a volume `(x, y, z)` and not a picture `(h, w)`."""
        return self.voxels.ndim == 3

    @property
    def bit_depth(self) -> int:
        """Bits that hold one voxel: 8, 16 or 32."""
        return 8 * self.voxels.dtype.itemsize


@dataclass(frozen=True, eq=False, kw_only=True)
class InFile:
    """The numbers of a file, before they become the voxels of a scan.

    Attributes:
        values: Real numbers of any type, finite or not: a picture `(h, w)`, or a volume of shape `stored.shape`.
        stored: Grid of the volume; None for pictures.
        spacing_mm: Distance between the pixels of a picture along each axis, in mm; None if it is unknown.
        unknown: See `Scan`.
    """

    values: np.ndarray
    stored: StoredGrid | None = None
    spacing_mm: tuple[float, ...] | None = None
    unknown: tuple[str, ...] = ()

    def scan(self, *, nan: Nan) -> Scan:
        """Return the scan that these numbers are.

        Args:
            nan: What values that are not finite mean; see `voxels_of`.

        Raises:
            DataError: If the numbers cannot be voxels, or the affine does not span a space.
        """
        if self.stored is None:
            return Scan.picture(self.values, spacing_mm=self.spacing_mm, nan=nan)
        return Scan.from_file(self.values, self.stored, nan=nan, unknown=self.unknown)


def as_voxels(values: np.ndarray) -> np.ndarray:
    """Convert real numbers of any type to one of `VOXEL_TYPES`; see `voxels_of`. All must be finite."""
    return voxels_of(values)[0]


def voxels_of(values: np.ndarray, *, nan: Nan = "error") -> tuple[np.ndarray, np.ndarray | None]:
    """Convert real numbers of any type and byte order to one of `VOXEL_TYPES`, without a copy if possible.

    Integers that fit into 32 bits stay integers. All other numbers become `float32`.

    Args:
        values: The numbers.
        nan: What NaN and infinity mean: "error", "background", or "auto": NaN is the background if it surrounds the
            scan, as programs write it around a brain, so that all corners hold it; everything else is an error. As
            background, values become 0, which is what programs put where there is nothing, or the lowest value if all
            of the others are on one side of 0.

    Returns:
        The voxels, and where values are not finite; None if all are.

    Raises:
        DataError: If the values are not real numbers, do not fit into `float32`, or are not finite and should be.
    """
    if values.dtype.kind not in "buif":
        raise DataError(f"expected real numbers, got values of type {values.dtype}")
    if not values.size:
        raise DataError(f"expected at least one voxel, got an array of shape {values.shape}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # what comes of it is looked at below
        voxels = values.astype(_voxel_type(values), copy=False)
    if voxels.dtype.kind != "f":
        return voxels, None
    low, high = float(voxels.min()), float(voxels.max())
    if math.isfinite(low) and math.isfinite(high):
        if values.dtype.itemsize > 4 and max(-low, high) < SMALLEST and values.any():
            raise DataError(f"expected values that float32 can hold, got none above {SMALLEST:.1g}; rescale them")
        return voxels, None
    missing = ~np.isfinite(values)
    bad = int(np.count_nonzero(missing))
    if bad < np.count_nonzero(~np.isfinite(voxels)):
        raise DataError("expected values that float32 can hold, got larger ones than 3.4e38; rescale them")
    if bad == voxels.size:
        raise DataError(f"expected finite numbers, got none: {bad} of {voxels.size} voxels are not finite numbers")
    if nan == "error" or (nan == "auto" and not _surrounds(values)):
        raise DataError(
            f"{bad} of {voxels.size} voxels are not finite numbers; if they are the background, say so with "
            '--nan background (nan="background" in Python)'
        )
    low = float(voxels.min(initial=np.inf, where=~missing))
    high = float(voxels.max(initial=-np.inf, where=~missing))
    background = 0.0 if low <= 0 <= high else low
    return np.where(missing, np.float32(background), voxels), missing


def _surrounds(values: np.ndarray) -> bool:
    """Tell whether NaN is in all corners of an array without infinities."""
    ends = tuple(slice(None, None, max(1, length - 1)) for length in values.shape)
    return bool(np.isnan(values[ends]).all()) and not np.isinf(values).any()


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
