"""Describe images without codes, to compare with what codes tell."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

_SIDE = 24
_BINS = 32


def small_pixels(images: Image) -> Float[Tensor, "n f"]:
    """Return the pixels of small versions of images: 24×24 pixels, or 12×12×12 voxels."""
    flat = images.ndim == 4
    pool, side = (functional.adaptive_avg_pool2d, _SIDE) if flat else (functional.adaptive_avg_pool3d, _SIDE // 2)
    return pool(images, min(side, images.shape[-1])).flatten(1)


def grey_shares(images: Image) -> Float[Tensor, "n bins"]:
    """Return the square roots of the shares of the grey values of each image, without any place."""
    bins = (images.flatten(1) * (_BINS - 1)).round().long()
    counts = torch.zeros(len(images), _BINS).scatter_add_(1, bins, torch.ones(bins.shape))
    return (counts / bins.shape[1]).sqrt()
