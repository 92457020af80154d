"""The MNI152 template that nilearn carries: tissue maps and texture of an average brain, sampled at any points."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

CSF, GREY, WHITE = 0, 1, 2
"""Channels of the tissue maps."""


@dataclass(frozen=True, eq=False)
class Template:
    """Maps of an average, skull-stripped brain in MNI152 coordinates.

    Attributes:
        maps: `(1, 4, x, y, z)`: shares of cerebrospinal fluid, grey and white matter in [0, 1], each zero outside the
            brain, and the texture: what the T1 template shows beyond the mean intensities of the three tissues.
        to_voxels: `(4, 4)` map from mm (x to the right, y to the front, z to the top) to voxel indices.
    """

    maps: Float[Tensor, "1 4 x y z"]
    to_voxels: Float[Tensor, "4 4"]

    def sample(self, points_mm: Float[Tensor, "*shape 3"]) -> Float[Tensor, "4 *shape"]:
        """Interpolate the maps linearly at points in MNI152 coordinates; zero outside."""
        voxels = points_mm @ self.to_voxels[:3, :3].T + self.to_voxels[:3, 3]
        last = torch.tensor(self.maps.shape[2:], dtype=voxels.dtype) - 1
        grid = (voxels / last * 2 - 1).flip(-1)  # grid_sample counts from -1 to 1 and names the last axis first
        flat = grid.reshape(1, -1, 1, 1, 3)
        values = torch.nn.functional.grid_sample(self.maps, flat, mode="bilinear", align_corners=True)
        return values.reshape(4, *points_mm.shape[:-1])

    def smoothed(self, spacing_mm: float) -> "Template":
        """Blur the maps to what voxels of that side can show, so that they may be sampled that coarsely."""
        own_mm = float(1 / self.to_voxels.diagonal()[:3].abs().mean())
        if spacing_mm <= own_mm:
            return self
        deviation = math.sqrt(spacing_mm**2 - own_mm**2) / (2 * math.sqrt(2 * math.log(2))) / own_mm
        maps = ndimage.gaussian_filter(self.maps.numpy(), (0, 0, *[deviation] * 3), mode="constant", truncate=3)
        return Template(torch.from_numpy(maps), self.to_voxels)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Load the template, at 1 mm, from the installed nilearn; no network."""
    # Seconds of import: paid only by who needs the phantom.
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    picture = load_mni152_template(resolution=1)
    t1 = picture.get_fdata(dtype=np.float32)
    brain = t1 > 0
    grey = load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32) * brain
    white = load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32) * brain
    # The cut of the skull stripping is hard; without softening, fluid would outline the brain in steps.
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
    """Mean T1 intensity where a voxel holds hardly anything but the one tissue."""
    return np.array([t1[tissue > 0.9].mean() for tissue in tissues], dtype=np.float32)
