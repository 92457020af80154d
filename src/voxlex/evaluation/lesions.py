"""What decoded images keep of planted lesions, and whether they hold any that were not planted."""

import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.data.phantoms.lesions import CONTRASTS, Planted, plant, smoothed
from voxlex.types import Image

CONTRAST = CONTRASTS["medium"]
"""Contrast of the lesions, as a share of the intensity range."""

_RADIUS = 1 / 20


def plant_small(images: Image, *, generator: torch.Generator) -> Planted:
    """Plant a lesion into the tissue of each image that keeps its contrast there.

    Its radius is a twentieth of the shortest side.

    Args:
        images: Images in [0, 1].
        generator: Generator that draws the places, on the CPU.
    """
    return plant(images, size_mm=2 * _radius(images), contrast=CONTRAST, generator=generator)


def kept_contrast(planted: Planted, before: Image, *, decoded: Image, decoded_before: Image) -> Float[Tensor, " b"]:
    """Return which share of the contrast of its lesion each decoded image keeps.

    Args:
        planted: The images with lesions.
        before: The images without.
        decoded: What became of the former.
        decoded_before: What became of the latter.
    """
    change = ((planted.images - before) * planted.shapes).flatten(1).sum(dim=1)
    after = ((decoded - decoded_before) * planted.shapes).flatten(1).sum(dim=1)
    return after / torch.where(change == 0, 1, change)


def largest_change(x: Image, y: Image) -> Float[Tensor, " b"]:
    """Return the largest difference of two images at the size of a lesion, in shares of the contrast of a lesion."""
    difference = smoothed((x - y).mean(dim=1, keepdim=True), _radius(x))
    return difference.abs().flatten(1).amax(dim=1) / CONTRAST


def _radius(images: Image) -> float:
    return max(min(images.shape[2:]) * _RADIUS, 2.0)
