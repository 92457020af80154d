"""Random variations of training images, whole batches at a time, on the device of the images."""

from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

_ORDER = 2
"""Order of the polynomial that shades an image, as for MR scans in Van Leemput et al. (IEEE TMI 18, 1999)."""


class Augmentation:
    """Flips, rotates and rescales images, and changes their contrast and shading. Settings that are 0 have no effect.

    Args:
        flip: Share of images that are mirrored from left to right.
        degrees: Largest rotation about each axis in degrees.
        scale: Largest change of size, as a share.
        gamma: Largest absolute logarithm of the exponent for grey values.
        bias: Largest coefficient of the polynomial whose exponential shades an image.
        seed: Random seed. Together with the step and the row, it determines how an image is varied.

    Raises:
        ValueError: If all settings are 0.
    """

    def __init__(
        self,
        *,
        flip: float = 0.0,
        degrees: float = 0.0,
        scale: float = 0.0,
        gamma: float = 0.0,
        bias: float = 0.0,
        seed: int,
    ) -> None:
        if not any((flip, degrees, scale, gamma, bias)):
            raise ValueError("augment: expected a value above 0 for at least one of its settings")
        self.seed = seed
        self.flip = flip
        self.degrees = degrees
        self.scale = scale
        self.gamma = gamma
        self.bias = bias

    def __call__(self, images: Image, rows: Int64[Tensor, " b"], *, step: int) -> Image:
        """Return variations of images `(b, 1, *space)` in [0, 1]. The last axis runs from right to left."""
        dims = images.ndim - 2
        drawn = [_Drawn(np.random.default_rng([self.seed, step, row, 1]), dims) for row in rows.tolist()]

        def numbers(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(one, name) for one in drawn])).to(images)

        if self.flip:
            images = torch.where(_along(numbers("mirrored") < self.flip, images), images.flip(-1), images)
        if self.degrees or self.scale:
            turned = _rotations(torch.deg2rad(self.degrees * numbers("turns")), dims)
            images = _resampled(images, turned / (1 + self.scale * numbers("size")).view(-1, 1, 1))
        if self.gamma:
            images = images.clamp(min=0) ** _along((self.gamma * numbers("contrast")).exp(), images)
        if self.bias:
            images = images * _fields(self.bias * numbers("shading"), images).exp()
        return images.clamp(0, 1)


class _Drawn:
    """What is drawn for one image: numbers from -1 to 1, and `mirrored` from 0 to 1, in a fixed order."""

    def __init__(self, rng: np.random.Generator, dims: int) -> None:
        self.mirrored = rng.random()
        self.turns = rng.uniform(-1, 1, {2: 1, 3: 3}[dims])
        self.size = rng.uniform(-1, 1)
        self.contrast = rng.uniform(-1, 1)
        self.shading = rng.uniform(-1, 1, len(_powers(dims)))


def _along(per_image: Tensor, images: Image) -> Tensor:
    return per_image.view(-1, *[1] * (images.ndim - 1))


def _rotations(angles: Float[Tensor, "b a"], dims: int) -> Float[Tensor, "b d d"]:
    """Return rotations in the plane by one angle, or in space by angles about the three axes, one after another."""
    planes = [(0, 1)] if dims == 2 else [(1, 2), (0, 2), (0, 1)]
    turned = torch.eye(dims).to(angles).repeat(len(angles), 1, 1)
    for (first, second), angle in zip(planes, angles.unbind(dim=1), strict=True):
        turn = torch.eye(dims).to(angles).repeat(len(angles), 1, 1)
        turn[:, first, first] = turn[:, second, second] = angle.cos()
        turn[:, first, second], turn[:, second, first] = -angle.sin(), angle.sin()
        turned = turned @ turn
    return turned


def _resampled(images: Image, maps: Float[Tensor, "b d d"]) -> Image:
    """Return images that show, at each place, what was at its image under a linear map about the centre."""
    affine = torch.cat([maps, maps.new_zeros(*maps.shape[:2], 1)], dim=2)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    # Beyond the image, its border goes on: a black wedge beside a grey background would be learned as part of images.
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _powers(dims: int) -> list[tuple[int, ...]]:
    """Return the exponents of the terms of a polynomial of the order, one for each axis."""
    return [powers for powers in product(range(_ORDER + 1), repeat=dims) if sum(powers) <= _ORDER]


def _fields(coefficients: Float[Tensor, "b p"], images: Image) -> Image:
    """Return a polynomial for each image, over places from -1 to 1 along each axis."""
    axes = [torch.linspace(-1, 1, side, dtype=images.dtype, device=images.device) for side in images.shape[2:]]
    places = torch.meshgrid(*axes, indexing="ij")
    total = torch.zeros_like(images)
    for term, powers in zip(coefficients.unbind(dim=1), _powers(len(axes)), strict=True):
        factor = torch.stack([place**power for place, power in zip(places, powers, strict=True)]).prod(dim=0)
        total = total + _along(term, images) * factor
    return total
