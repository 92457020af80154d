"""The invertible map between the grey values of a scan and the unit interval."""

import math
from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.scan import Scan

BRAIN_WINDOW = (0.0, 80.0)
"""Window in Hounsfield units for CT of the brain: level 40, width 80."""

PERCENTILE = 99.5
"""Percentile of the voxels brighter than the mean, which are roughly the head, that becomes 1."""

_AIR = (-1050.0, -950.0)  # Hounsfield units
_ENOUGH = 1_000_000  # number of voxels that is enough for percentiles


class ConstantImageError(DataError):
    """An image with a single grey value, for which there is no interval to map."""


@dataclass(frozen=True)
class IntensityMap:
    """The affine map that sends `low` to 0 and `high` to 1.

    Attributes:
        low: Grey value that becomes 0, in the scan's own units.
        high: Grey value that becomes 1.
        bit_depth: Bits of the scan's own voxels: 8 (`uint8`), 16 (`uint16` or `int16`) or 32 (restored as `float32`).
    """

    low: float
    high: float
    bit_depth: int

    @classmethod
    def of(cls, scan: np.ndarray | Scan, *, window: tuple[float, float] | None = None) -> "IntensityMap":
        """Choose the map for a scan, or for an array of grey values, which is treated as a picture.

        - 8-bit scans: 0 to 255 becomes 0 to 1, so that the values are restored exactly.
        - Deeper pictures, which rarely use their whole range: 0 (or the minimum, if it is negative) becomes 0, and the
          maximum becomes 1. If the file has a window, as X-ray files do, the window becomes 0 to 1.
        - CT: the window of the file, or else `BRAIN_WINDOW`, becomes 0 to 1. A volume without a modality counts as CT
        if
          a tenth of it has the Hounsfield units of air.
        - Other volumes: 0 (or the 0.5th percentile, if there are negative values) becomes 0, and the 99.5th percentile
          of the voxels brighter than the mean becomes 1, so that a few bright voxels do not darken the rest.

        Values outside are clipped.

        Args:
            scan: The scan.
            window: `(low, high)` to use instead of these rules.

        Raises:
            ConstantImageError: If all voxels are equal.
            ValueError: If `window` is empty or reversed.
        """
        scan = scan if isinstance(scan, Scan) else Scan(voxels=scan)
        minimum, maximum = float(scan.voxels.min()), float(scan.voxels.max())
        if minimum == maximum:
            raise ConstantImageError(f"constant image (every pixel is {minimum:g})")
        if window is not None:
            if not window[0] < window[1]:
                raise ValueError(f"window: expected low < high, got {window}")
            low, high = window
        elif scan.bit_depth == 8 and scan.window is None:
            low, high = 0.0, 255.0
        elif _is_ct(scan):
            low, high = scan.window or BRAIN_WINDOW
        elif scan.is_volume:
            low, high = _robust_range(scan.voxels, minimum, maximum)
        else:
            low, high = scan.window or (min(0.0, minimum), maximum)
        return cls(low=float(low), high=float(high), bit_depth=scan.bit_depth)

    @property
    def dtype(self) -> np.dtype:
        """Type of restored grey values."""
        if self.bit_depth == 8:
            return np.dtype(np.uint8)
        if self.bit_depth == 16 and self.low >= 0 and self.high <= 65535:
            return np.dtype(np.uint16)
        if self.bit_depth == 16 and self.low >= -32768 and self.high <= 32767:
            return np.dtype(np.int16)
        return np.dtype(np.float32)

    def to_unit(self, voxels: np.ndarray) -> np.ndarray:
        """Map grey values to float32 in [0, 1]. The shape does not change."""
        unit = voxels.astype(np.float32)
        with np.errstate(over="ignore"):  # a marker such as 3.4e38 for missing values becomes infinite, and then 1
            unit -= np.float32(self.low)
            unit /= np.float32(self.high - self.low)
        return unit.clip(0.0, 1.0, out=unit)

    def from_unit(self, values: np.ndarray) -> np.ndarray:
        """Map [0, 1] back to grey values in the units and type of the scan. Values outside are clipped."""
        grey = values.astype(np.float64)
        grey.clip(0.0, 1.0, out=grey)
        grey *= self.high - self.low
        grey += self.low
        if self.dtype.kind in "ui":
            np.rint(grey, out=grey)
        return grey.astype(self.dtype)

    def difference_from_unit(self, values: np.ndarray) -> np.ndarray:
        """Map differences of values in [0, 1], such as deviations or errors, to `float32` in the scan's own units."""
        return (values * np.float64(self.high - self.low)).astype(np.float32)


def _is_ct(scan: Scan) -> bool:
    if scan.modality or not scan.is_volume or scan.bit_depth == 8:
        return scan.modality == "CT"
    voxels = _some_of(scan.voxels)
    air = int(np.count_nonzero((voxels >= _AIR[0]) & (voxels <= _AIR[1])))
    return air >= 0.1 * voxels.size


def _some_of(voxels: np.ndarray) -> np.ndarray:
    """Return the voxels of a volume, or of a regular subset if that is enough."""
    step = math.ceil((voxels.size / _ENOUGH) ** (1 / 3))
    return voxels[::step, ::step, ::step].ravel(order="K") if step > 1 else voxels


def _robust_range(voxels: np.ndarray, minimum: float, maximum: float) -> tuple[float, float]:
    voxels = _some_of(voxels)
    low = min(0.0, float(np.percentile(voxels, 0.5))) if minimum < 0 else 0.0
    # A marker such as 3.4e38 for missing values must not affect the mean.
    mean = float(np.minimum(voxels, float(np.percentile(voxels, 99.9))).mean(dtype=np.float64))
    head = voxels[voxels > mean]
    high = float(np.percentile(head, PERCENTILE)) if head.size else low
    # If nearly all voxels are equal, the percentiles are equal, too. Then the whole range is used.
    return (low, high) if low < high else (minimum, maximum)
