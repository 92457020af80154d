"""Lesions that are planted into images, to test whether a decoder keeps them and makes none of its own."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

CONTRAST = 0.2
"""Contrast of a planted lesion, as a share of the intensity range."""

_RADIUS = 1 / 20
_TISSUE = 0.15

_POOL = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


class Planted(NamedTuple):
    """Images with a lesion each.

    Attributes:
        images: The images with lesions, in [0, 1].
        shapes: The shape of each lesion, from 0 outside to 1 inside.
    """

    images: Image
    shapes: Float[Tensor, "b 1 *space"]


def plant(images: Image, *, generator: torch.Generator) -> Planted:
    """Plant a bright or dark disc or ball into the tissue of each image.

    Its radius is a twentieth of the shortest side. It is bright in dark tissue and dark in bright tissue, so that it
    keeps its contrast, and its edge is soft.

    Args:
        images: Images in [0, 1].
        generator: Generator that draws the places, on the CPU.
    """
    space = images.shape[2:]
    radius = max(min(space) * _RADIUS, 2.0)
    smooth = _smooth(images.mean(dim=1, keepdim=True), radius).cpu()
    axes = [torch.arange(side, dtype=torch.float32) for side in space]
    shapes = []
    for image in smooth:
        tissue = (image[0] > _TISSUE * image.max()).flatten().float() + 1e-6
        place = int(torch.multinomial(tissue, 1, generator=generator))
        centre = torch.unravel_index(torch.tensor(place), space)
        grids = torch.meshgrid(*[(axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)], indexing="ij")
        distance = torch.stack(grids).sum(dim=0).sqrt()
        shapes.append(((radius - distance) / 2 + 0.5).clamp(0, 1))
    shape = torch.stack(shapes)[:, None].to(images)
    level = (images.mean(dim=1, keepdim=True) * shape).flatten(1).sum(dim=1) / shape.flatten(1).sum(dim=1)
    sign = torch.where(level > 0.5, -1.0, 1.0).view(-1, *[1] * (images.ndim - 1))
    return Planted((images + sign * CONTRAST * shape).clamp(0, 1), shape)


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
    radius = max(min(x.shape[2:]) * _RADIUS, 2.0)
    return _smooth((x - y).mean(dim=1, keepdim=True), radius).abs().flatten(1).amax(dim=1) / CONTRAST


def _smooth(x: Image, radius: float) -> Image:
    side = 2 * round(radius / 2) + 1
    return _POOL[x.ndim - 2](x, side, stride=1, padding=side // 2, count_include_pad=False)
