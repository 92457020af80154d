"""The MNI152 template from nilearn, with tissue maps and texture of an average brain at any point."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

CSF, GREY, WHITE = 0, 1, 2
"""Indices of the channels of the tissue maps."""


@dataclass(frozen=True, eq=False)
class Template:
    """Maps of an average, skull-stripped brain in MNI152 coordinates.

    Attributes:
        maps: Maps `(1, 4, x, y, z)`. The first three are the shares of cerebrospinal fluid, gray and white matter in
            [0, 1], and are zero outside the brain. The fourth is the texture, the difference between the T1 template
            and the mean intensities of the three tissues.
        to_voxels: Map `(4, 4)` from mm (x to the right, y to the front, z to the top) to voxel indices.
    """

    maps: Float[Tensor, "1 4 x y z"]
    to_voxels: Float[Tensor, "4 4"]

    def sample(self, points_mm: Float[Tensor, "*shape 3"]) -> Float[Tensor, "4 *shape"]:
        """Interpolate the maps linearly at points in MNI152 coordinates. The result is zero outside of the template."""
        voxels = points_mm @ self.to_voxels[:3, :3].T + self.to_voxels[:3, 3]
        last = torch.tensor(self.maps.shape[2:], dtype=voxels.dtype) - 1
        grid = (voxels / last * 2 - 1).flip(-1)  # grid_sample counts from -1 to 1, with the last axis first
        flat = grid.reshape(1, -1, 1, 1, 3)
        values = torch.nn.functional.grid_sample(self.maps, flat, mode="bilinear", align_corners=True)
        return values.reshape(4, *points_mm.shape[:-1])

    def smoothed(self, spacing_mm: float) -> "Template":
        """Blur the maps so that they can be sampled at this spacing without aliasing."""
        own_mm = float(1 / self.to_voxels.diagonal()[:3].abs().mean())
        if spacing_mm <= own_mm:
            return self
        deviation = math.sqrt(spacing_mm**2 - own_mm**2) / (2 * math.sqrt(2 * math.log(2))) / own_mm
        maps = ndimage.gaussian_filter(self.maps.numpy(), (0, 0, *[deviation] * 3), mode="constant", truncate=3)
        return Template(torch.from_numpy(maps), self.to_voxels)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Load the template at 1 mm from the installed nilearn package, without a network."""
    # This import takes seconds, so only users of the phantom should pay for it.
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    picture = load_mni152_template(resolution=1)
    t1 = picture.get_fdata(dtype=np.float32)
    brain = t1 > 0
    grey = load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32) * brain
    white = load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32) * brain
    # Skull stripping leaves a hard edge. Without smoothing, fluid would outline the brain in steps.
    soft = torch.nn.functional.avg_pool3d(torch.from_numpy(brain).float()[None], 3, stride=1, padding=1)[0].numpy()
    tissues = np.stack([np.clip(soft - grey - white, 0, 1), grey, white])
    means = _tissue_means(t1, tissues)
    texture = (t1 - np.tensordot(means, tissues, axes=1)) * brain

    corners = [(int(found.min()), int(found.max()) + 1) for found in np.nonzero(brain)]
    inside = tuple(slice(low, high) for low, high in corners)
    to_voxels = np.linalg.inv(picture.affine)
    to_voxels[:3, 3] -= [low for low, _ in corners]
    maps = np.concatenate([tissues, texture[None]])[:, *inside]
    return Template(torch.from_numpy(np.ascontiguousarray(maps))[None], torch.from_numpy(to_voxels).float())


def _tissue_means(t1: np.ndarray, tissues: np.ndarray) -> np.ndarray:
    """Return the mean T1 intensity of voxels that hold hardly anything but one tissue."""
    return np.array([t1[tissue > 0.9].mean() for tissue in tissues], dtype=np.float32)
