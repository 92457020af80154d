"""Show a volume as a stack of slices in radiological orientation, and restore the volume from the stack.

In axial slices, the front is up and the subject's right is on the left. In coronal slices, the top is up and the
subject's right is on the left. In sagittal slices, the top is up and the front is on the left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxlex.config.options import Axis, SliceOptions
from voxlex.images.canvas import fit_to_canvas
from voxlex.scans.grid import AXES

_SEEN = 0.05  # slices with a smaller share of the bright pixels of the fullest slice lie outside the head


def displayed(voxels: np.ndarray) -> np.ndarray:
    """View a volume `(x, y, z)` as `(z, y, x)`, from top to bottom, from front to back and from right to left.

    Applied twice, this function returns the volume.
    """
    return voxels[::-1, ::-1, ::-1].T


def seen_along(shape: Sequence[int], *, otherwise: Axis) -> Axis:
    """Return the axis across the slices of a volume: the one with a single voxel, if there is exactly one.

    Args:
        shape: Number of voxels along x, y and z.
        otherwise: The axis for all other volumes.
    """
    single = [axis for axis, length in zip(AXES, shape, strict=True) if length == 1]
    return single[0] if len(single) == 1 else otherwise


@dataclass(frozen=True)
class Stack:
    """The arrangement of the slices of a volume.

    Attributes:
        axis: Name of the slices.
        shape: Number of voxels along x (to the right), y (to the front) and z (to the top).
        spacing_mm: Distances between voxel centres along these axes in mm.
    """

    axis: Axis
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def __len__(self) -> int:
        return self.shape[AXES.index(self.axis)]

    @property
    def step_mm(self) -> float:
        """Distance from one slice to the next in mm."""
        return self.spacing_mm[AXES.index(self.axis)]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Height and width of a slice in pixels."""
        height, width = (self.shape[axis] for axis in self._in_plane)
        return height, width

    @property
    def slice_size_mm(self) -> tuple[float, float]:
        """Height and width of a slice in mm."""
        height, width = (self.shape[axis] * self.spacing_mm[axis] for axis in self._in_plane)
        return height, width

    @property
    def _in_plane(self) -> tuple[int, int]:
        # The order of the display (z, y, x), without the axis across the slices.
        down, right = (axis for axis in (2, 1, 0) if AXES[axis] != self.axis)
        return down, right

    def slice(self, voxels: np.ndarray, index: int) -> np.ndarray:
        """View slice `index`, counted from 0 along the axis of the volume `(x, y, z)`, as an image `(h, w)`."""
        return np.moveaxis(displayed(voxels), 2 - AXES.index(self.axis), 0)[len(self) - 1 - index]

    def to_canvas(self, image: np.ndarray, *, size: int) -> np.ndarray:
        """Fit a slice `(h, w)` to a canvas `(size, size)` of square pixels. The longer side in mm fills the canvas."""
        height_mm, width_mm = self.slice_size_mm
        return fit_to_canvas(image, size=size, height=height_mm, width=width_mm)

    def assemble(self, slices: Sequence[np.ndarray]) -> np.ndarray:
        """Assemble all slices, in the order of their index, to a volume `(x, y, z)`.

        Raises:
            ValueError: If there are more or fewer slices than the volume has.
        """
        if len(slices) != len(self):
            raise ValueError(f"slices: expected all {len(self)} slices of a volume, got {len(slices)}")
        seen = np.stack(slices[::-1], axis=2 - AXES.index(self.axis))
        return np.ascontiguousarray(displayed(seen))

    def choose(self, voxels: np.ndarray, options: SliceOptions) -> list[int]:
        """Choose at least one slice of a volume `(x, y, z)`, and return indices along the axis in ascending order.

        The head extends over the slices with a minimum number of voxels that are brighter than the mean of the volume.
        `options.axis` is ignored here.
        """
        first, last = self._extent(voxels)
        low, high = (first + share * (last - first) for share in (options.lowest, options.highest))
        if options.count is not None:
            places = np.linspace(low, high, options.count) if options.count > 1 else np.array([(low + high) / 2])
        elif options.every_mm is not None:
            steps = np.arange(0, (high - low) * self.step_mm + 1e-6, options.every_mm) / self.step_mm
            places = (low + high - steps[-1]) / 2 + steps
        else:
            places = np.arange(np.ceil(low), np.floor(high) + 1)
        return np.unique(np.rint(places).astype(int)).tolist() or [round((low + high) / 2)]

    def _extent(self, voxels: np.ndarray) -> tuple[int, int]:
        across = AXES.index(self.axis)
        # Every second row and column is enough to find the ends of the head, and takes a quarter of the time.
        sparse = voxels[tuple(slice(None) if axis == across else slice(None, None, 2) for axis in range(3))]
        sparse = sparse.copy(order="K")  # contiguous memory is faster to read, and is read three times
        bright = sparse > float(sparse.mean())
        counts = bright.sum(axis=tuple(axis for axis in range(3) if axis != across), dtype=np.int32)
        seen = np.flatnonzero(counts > _SEEN * counts.max())
        return (int(seen[0]), int(seen[-1])) if len(seen) else (0, len(self) - 1)
