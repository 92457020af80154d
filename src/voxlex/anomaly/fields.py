"""Operations on maps of images of two or three dimensions: smooth them, enlarge them, find the head."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

Maps = Float[Tensor, "b *space"]
"""A number for each pixel of each image."""

_HEAD = 0.06  # of the range of grey values; the noise of air is darker


def blurred(maps: Maps, deviation: float) -> Maps:
    """Smooth maps by a Gaussian of a standard deviation in pixels. Beyond the border, the nearest pixel counts."""
    if deviation <= 0:
        return maps
    reach = max(1, round(3 * deviation))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device) / deviation) ** 2)
    taps = taps / taps.sum()
    dims = maps.ndim - 1
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    smooth = functional.pad(maps[:, None], (reach,) * 2 * dims, mode="replicate")
    for axis in range(dims):
        shape = [1] * (dims + 2)
        shape[2 + axis] = len(taps)
        smooth = convolve(smooth, taps.view(shape))
    return smooth[:, 0]


def enlarged(maps: Float[Tensor, "b *grid"], space: tuple[int, ...]) -> Maps:
    """Interpolate maps on a code grid to the pixels of the image."""
    mode = "bilinear" if len(space) == 2 else "trilinear"
    return functional.interpolate(maps[:, None], size=space, mode=mode, align_corners=False)[:, 0]


def heads_in(images: Image) -> Bool[np.ndarray, "b *space"]:
    """Find the heads: what is not air, with what it encloses."""
    smooth = blurred(images.mean(dim=1), 1.0).cpu().numpy()
    return np.stack([ndimage.binary_fill_holes(image > _HEAD) for image in smooth])
