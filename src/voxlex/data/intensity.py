"""The map between a scan's own grey values and the unit interval, kept so that it can be undone."""

from dataclasses import dataclass

import numpy as np

from voxlex.errors import DataError


class ConstantImageError(DataError):
    """An image of a single grey value: there is nothing to see, and no interval to map."""


@dataclass(frozen=True)
class IntensityMap:
    """The affine map that sends `low` to 0 and `high` to 1.

    Attributes:
        low: Grey value that becomes 0, in the scan's own units.
        high: Grey value that becomes 1.
        bit_depth: Bits of the scan's own voxels: 8 (`uint8`), 16 (`uint16`) or 32 (`float32` on the way back).
    """

    low: float
    high: float
    bit_depth: int

    @classmethod
    def of(cls, voxels: np.ndarray) -> "IntensityMap":
        """Choose the map for an image.

        8-bit images keep their scale, 0…255 to 0…1, so that 8 bits in are the same 8 bits out. Deeper images rarely
        fill their range: there 0 (or the minimum, where it is negative) becomes 0 and the maximum becomes 1.

        Raises:
            ConstantImageError: All voxels are equal.
        """
        minimum, maximum = float(voxels.min()), float(voxels.max())
        if minimum == maximum:
            raise ConstantImageError(f"constant image (every pixel is {minimum:g})")
        if voxels.dtype == np.uint8:
            return cls(low=0.0, high=255.0, bit_depth=8)
        return cls(low=min(0.0, minimum), high=maximum, bit_depth=8 * voxels.dtype.itemsize)

    def to_unit(self, voxels: np.ndarray) -> np.ndarray:
        """Map grey values to float32 in [0, 1]; the shape stays."""
        return ((voxels.astype(np.float64) - self.low) / (self.high - self.low)).clip(0.0, 1.0).astype(np.float32)

    def from_unit(self, values: np.ndarray) -> np.ndarray:
        """Map [0, 1] back to grey values in the scan's own units and type; values outside are clipped."""
        grey = values.astype(np.float64).clip(0.0, 1.0) * (self.high - self.low) + self.low
        if self.bit_depth == 8:
            return np.rint(grey).astype(np.uint8)
        if self.bit_depth == 16:
            return np.rint(grey).astype(np.uint16)
        return grey.astype(np.float32)
