"""A volume as a stack of images in radiological display, and the stack back to the volume.

Seen from the feet and from the front, as radiologists do: in axial slices front is up and the subject's right on the
left, in coronal ones top is up and the right on the left, in sagittal ones top is up and the front on the left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxlex.config.options import Axis, SliceOptions
from voxlex.images.canvas import fit_to_canvas

AXES: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
"""Name of the slices across each axis of a volume `(x, y, z)`: to the right, to the front, to the top."""

_SEEN = 0.05  # of what is bright in the fullest slice: a slice with less is beyond the head


def displayed(voxels: np.ndarray) -> np.ndarray:
    """View a volume `(x, y, z)` as `(z, y, x)`, from top to bottom, front to back and the right side to the left.

    It undoes itself: the display of a display is the volume.
    """
    return voxels[::-1, ::-1, ::-1].T


@dataclass(frozen=True)
class Stack:
    """How the slices of a volume lie in it.

    Attributes:
        axis: What the slices are called.
        shape: Voxels of the volume along x (to the right), y (to the front) and z (to the top).
        spacing_mm: Distances between their centres.
    """

    axis: Axis
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def __len__(self) -> int:
        return self.shape[AXES.index(self.axis)]

    @property
    def step_mm(self) -> float:
        """Distance from one slice to the next."""
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
        # What is left of (z, y, x), the order of the display, without the axis across.
        down, right = (axis for axis in (2, 1, 0) if AXES[axis] != self.axis)
        return down, right

    def slice(self, voxels: np.ndarray, index: int) -> np.ndarray:
        """View slice `index`, counted from 0 along the axis of the volume `(x, y, z)`, as an image `(h, w)`."""
        return np.moveaxis(displayed(voxels), 2 - AXES.index(self.axis), 0)[len(self) - 1 - index]

    def to_canvas(self, image: np.ndarray, *, size: int) -> np.ndarray:
        """Fit a slice `(h, w)` to a canvas `(size, size)` of square pixels: its longer side in mm fills the canvas."""
        height_mm, width_mm = self.slice_size_mm
        return fit_to_canvas(image, size=size, height=height_mm, width=width_mm)

    def assemble(self, slices: Sequence[np.ndarray]) -> np.ndarray:
        """Put all slices, in the order of their index, together to the volume `(x, y, z)`.

        Raises:
            ValueError: If there are more or fewer slices than the volume has.
        """
        if len(slices) != len(self):
            raise ValueError(f"expected all {len(self)} slices of a volume, got {len(slices)}")
        seen = np.stack(slices[::-1], axis=2 - AXES.index(self.axis))
        return np.ascontiguousarray(displayed(seen))

    def choose(self, voxels: np.ndarray, options: SliceOptions) -> list[int]:
        """Choose slices of a volume `(x, y, z)`: their indices along the axis, ascending, at least one.

        The head is taken to reach as far as slices show more than a little that is brighter than the volume on average.
        `options.axis` does not matter here.
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
        # Every other row and column is enough to tell where a head ends, in a quarter of the time.
        sparse = voxels[tuple(slice(None) if axis == across else slice(None, None, 2) for axis in range(3))]
        sparse = sparse.copy(order="K")  # what lies together is gone through faster, and three times
        bright = sparse > float(sparse.mean())
        counts = bright.sum(axis=tuple(axis for axis in range(3) if axis != across), dtype=np.int32)
        seen = np.flatnonzero(counts > _SEEN * counts.max())
        return (int(seen[0]), int(seen[-1])) if len(seen) else (0, len(self) - 1)
