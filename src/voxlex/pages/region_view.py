"""Show a region of scans that have the same grid."""

from math import ceil

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from voxlex.images.canvas import fit_to_canvas
from voxlex.images.intensity import IntensityMap
from voxlex.images.stack import AXES, Stack

_LARGEST = 256  # pixels along the longest side: a sheet has a dozen of them
_SMALLEST = 128  # pixels of height; a sheet does not enlarge three slices of this height side by side


class RegionView:
    """Shows a picture as it is, or the axial, coronal and sagittal slices of a volume that contain most of a region.

    The slices lie side by side in radiological orientation. They have the same scale and square pixels, even if the
    voxels are not cubes. Slices of small volumes are enlarged by a whole number.

    Args:
        region: The region on the grid of the scans, `(h, w)` or `(x, y, z)` in canonical order.
        spacing_mm: Distances between voxels in mm; not used for pictures.
    """

    def __init__(self, region: Bool[np.ndarray, "*space"], spacing_mm: tuple[float, ...] | None) -> None:
        self._cuts: list[tuple[Stack, int, int]] = []
        if region.ndim == 2:
            return
        x, y, z = region.shape
        dx, dy, dz = spacing_mm or (1.0, 1.0, 1.0)
        pixel_mm = max(min(dx, dy, dz), max(x * dx, y * dy, z * dz) / _LARGEST)
        for axis in (2, 1, 0):
            stack = Stack(axis=AXES[axis], shape=(x, y, z), spacing_mm=(dx, dy, dz))
            area = region.sum(axis=tuple({0, 1, 2} - {axis}))
            self._cuts.append((stack, int(area.argmax()), ceil(max(stack.slice_size_mm) / pixel_mm - 1e-6)))

    def __call__(self, voxels: Shaped[np.ndarray, "*space"], intensity: IntensityMap) -> Float[Tensor, "1 h w"]:
        """Show a scan in [0, 1]."""
        if not self._cuts:
            unit = intensity.to_unit(voxels)
            return torch.from_numpy(fit_to_canvas(unit, size=min(_LARGEST, max(unit.shape))))[None]
        height = max(size for _, _, size in self._cuts)
        views = []
        for stack, index, size in self._cuts:
            view = stack.to_canvas(intensity.to_unit(stack.slice(voxels, index)), size=size)
            views.append(np.pad(view, ((0, height - size), (0, 0))))
        times = ceil(_SMALLEST / height)
        return torch.from_numpy(np.concatenate(views, axis=1).repeat(times, axis=0).repeat(times, axis=1))[None]
