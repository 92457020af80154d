"""The map between a scan's own grey values and the unit interval, kept so that it can be undone."""

import math
from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.scan import Scan

BRAIN_WINDOW = (0.0, 80.0)
"""Hounsfield units between which a CT of the brain is read: level 40, width 80."""

PERCENTILE = 99.5
"""Percentile of the voxels brighter than the mean (about: the head) that becomes 1."""

_AIR = (-1050.0, -950.0)  # Hounsfield units
_ENOUGH = 1_000_000  # voxels to know percentiles from


class ConstantImageError(DataError):
    """An image of a single grey value: there is nothing to see, and no interval to map."""


@dataclass(frozen=True)
class IntensityMap:
    """The affine map that sends `low` to 0 and `high` to 1.

    Attributes:
        low: Grey value that becomes 0, in the scan's own units.
        high: Grey value that becomes 1.
        bit_depth: Bits of the scan's own voxels: 8 (`uint8`), 16 (`uint16` or `int16`) or 32 (`float32` on the way
            back).
    """

    low: float
    high: float
    bit_depth: int

    @classmethod
    def of(cls, scan: np.ndarray | Scan, *, window: tuple[float, float] | None = None) -> "IntensityMap":
        """Choose the map for a scan or an array of grey values (which is taken for a picture).

        - 8 bits keep their scale, 0…255 to 0…1, so that 8 bits in are the same 8 bits out.
        - Deeper pictures rarely fill their range: 0 (or the minimum, where it is negative) becomes 0 and the maximum
          becomes 1. Where the file names a window, as X-ray files do, that becomes 0 to 1.
        - CT becomes 0 to 1 within the file's window, else within `BRAIN_WINDOW`. A volume that does not name its kind
          counts as CT where a tenth of it has the Hounsfield units of air.
        - Other volumes: 0 (or the percentile 0.5, where values are negative) becomes 0, and the percentile 99.5 of the
          voxels brighter than the mean becomes 1, so that a few bright voxels do not darken the rest.

        What lies outside is clipped.

        Args:
            scan: The scan.
            window: `(low, high)` to use instead of any of these.

        Raises:
            ConstantImageError: If all voxels are equal.
            ValueError: If `window` is empty or upside down.
        """
        scan = scan if isinstance(scan, Scan) else Scan(voxels=scan)
        minimum, maximum = float(scan.voxels.min()), float(scan.voxels.max())
        if minimum == maximum:
            raise ConstantImageError(f"constant image (every pixel is {minimum:g})")
        if window is not None:
            if not window[0] < window[1]:
                raise ValueError(f"expected a window that rises from low to high, got {window}")
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
        """Type of the grey values on the way back."""
        if self.bit_depth == 8:
            return np.dtype(np.uint8)
        if self.bit_depth == 16 and self.low >= 0 and self.high <= 65535:
            return np.dtype(np.uint16)
        if self.bit_depth == 16 and self.low >= -32768 and self.high <= 32767:
            return np.dtype(np.int16)
        return np.dtype(np.float32)

    def to_unit(self, voxels: np.ndarray) -> np.ndarray:
        """Map grey values to float32 in [0, 1]; the shape stays."""
        unit = voxels.astype(np.float32)
        with np.errstate(over="ignore"):  # a mark like 3.4e38 for "no value" becomes infinite, and then 1
            unit -= np.float32(self.low)
            unit /= np.float32(self.high - self.low)
        return unit.clip(0.0, 1.0, out=unit)

    def from_unit(self, values: np.ndarray) -> np.ndarray:
        """Map [0, 1] back to grey values in the scan's own units and type; values outside are clipped."""
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
    """The volume, or one voxel of each small cube of it, where that tells enough."""
    step = math.ceil((voxels.size / _ENOUGH) ** (1 / 3))
    return voxels[::step, ::step, ::step].ravel(order="K") if step > 1 else voxels


def _robust_range(voxels: np.ndarray, minimum: float, maximum: float) -> tuple[float, float]:
    voxels = _some_of(voxels)
    low = min(0.0, float(np.percentile(voxels, 0.5))) if minimum < 0 else 0.0
    # A mark like 3.4e38 for "no value" must not move the mean.
    mean = float(np.minimum(voxels, float(np.percentile(voxels, 99.9))).mean(dtype=np.float64))
    head = voxels[voxels > mean]
    high = float(np.percentile(head, PERCENTILE)) if head.size else low
    # Where all but a few voxels are equal, percentiles meet; the whole range is left then.
    return (low, high) if low < high else (minimum, maximum)
