"""Sliced Wasserstein distance between the patches of two sets of images, for each scale.

The distance is that of Karras, Aila, Laine, Lehtinen, *Progressive Growing of GANs* (arXiv 1710.10196), section 5. It
takes random 7×7 patches from each level of a Laplacian pyramid, normalizes them per channel, and compares them along
random directions. It needs no trained weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

PATCH = 7
SMALLEST = 16
"""Side in pixels at which the pyramid ends, as in the paper."""

_PATCHES_PER_IMAGE = 64
_DIRECTIONS = 128
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # Burt and Adelson, 1983
_FLAT = 1e-6  # a level with less contrast than this is empty

Patches = Float[Tensor, "p k c"]
Level = Float[Tensor, "b c *_"]
"""Images of any size, because the levels of one pyramid differ in size."""


def sliced_wasserstein(
    x: Float[Tensor, "n _ *_"], y: Float[Tensor, "m _ *_"], *, generator: torch.Generator
) -> dict[int, float]:
    """Compare two sets with the same number of images at each scale.

    Unlike in the paper, both sets are normalized by the mean and the standard deviation of the reference `y`. If each
    set were normalized by its own, the distance would not show that images are too dark or that blur has weakened their
    details.

    Args:
        x: Images to judge in [0, 1], `(n, c, *space)`, with at least `SMALLEST` pixels along each axis.
        y: Reference images, of the same number and shape.
        generator: Generator that draws patches and directions.

    Returns:
        The distance at each level of the pyramid, in standard deviations of the reference. The keys are the shortest
        sides of the levels in pixels, from the finest details to the coarsest image. Equal sets have a distance of 0.
        Two finite sets from the same distribution have a distance above 0.

    Raises:
        ValueError: If the sets differ in size or shape, or the images are too small.
    """
    if x.shape != y.shape:
        raise ValueError(f"expected two sets of the same size and shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    _check_sides(x.shape[2:])
    distances = {}
    for x_level, y_level in zip(laplacian_pyramid(x), laplacian_pyramid(y), strict=True):
        draw = _draw(x_level.shape, generator)
        y_patches = _patches(y_level, draw.y_corners)
        mean, deviation = y_patches.mean((0, 1)), y_patches.std((0, 1)).clamp_min(_FLAT)
        both = (_patches(x_level, draw.x_corners), y_patches)
        x_rows, y_rows = (((patches - mean) / deviation).flatten(1) for patches in both)
        distances[min(x_level.shape[2:])] = _distance(x_rows, y_rows, draw.directions)
    return distances


def pass_over(shape: Sequence[int], *, generator: torch.Generator) -> None:
    """Draw what a comparison of two sets of this shape, `(n, c, *space)`, would draw, and do nothing with it.

    Raises:
        ValueError: If the images are too small.
    """
    count, channels, *space = shape
    _check_sides(space)
    _draw((count, channels, *space), generator)
    while min(space) >= 2 * SMALLEST:
        space = [(side + 1) // 2 for side in space]
        _draw((count, channels, *space), generator)


def laplacian_pyramid(images: Level) -> list[Level]:
    """Split images into bands of detail, finest first, and a coarse rest.

    Each level has half the side of the one before it. Expanding and adding the levels restores the images (Burt and
    Adelson, *The Laplacian Pyramid as a Compact Image Code*, 1983).
    """
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST:
        coarse = _reduced(images)
        levels.append(images - expanded(coarse, images.shape))
        images = coarse
    return [*levels, images]


def expanded(coarse: Level, shape: torch.Size) -> Level:
    """Double the side of images, up to `shape`, by interpolation with the binomial filter."""
    every_second = (slice(None, None, 2),) * (len(shape) - 2)
    spread = coarse.new_zeros(shape)
    spread[(slice(None), slice(None), *every_second)] = coarse
    return _blurred(spread) * 2 ** (len(shape) - 2)


def _reduced(images: Level) -> Level:
    every_second = (slice(None, None, 2),) * (images.ndim - 2)
    return _blurred(images)[(slice(None), slice(None), *every_second)]


def _blurred(images: Level) -> Level:
    for axis in range(2, images.ndim):
        rows = images.movedim(axis, -1)
        padded = functional.pad(rows.flatten(0, -2)[:, None], (2, 2), mode="reflect")[:, 0]
        blurred = padded.unfold(-1, len(_BINOMIAL), 1) @ rows.new_tensor(_BINOMIAL)
        images = blurred.view(rows.shape).movedim(-1, axis)
    return images


def _check_sides(space: Sequence[int]) -> None:
    if min(space) < SMALLEST:
        raise ValueError(f"images: expected at least {SMALLEST} pixels along each axis, got {tuple(space)}")


class _Draw(NamedTuple):
    """What is drawn for one level: the corners of the patches of both sets along each axis, and the directions."""

    y_corners: list[Int64[Tensor, " p"]]
    x_corners: list[Int64[Tensor, " p"]]
    directions: Float[Tensor, "f directions"]


def _draw(shape: Sequence[int], generator: torch.Generator) -> _Draw:
    images, channels, *space = shape
    count = images * _PATCHES_PER_IMAGE
    y_corners, x_corners = (
        [torch.randint(side - PATCH + 1, (count,), generator=generator) for side in space] for _ in range(2)
    )
    directions = torch.randn(PATCH ** len(space) * channels, _DIRECTIONS, generator=generator)
    return _Draw(y_corners, x_corners, directions / directions.norm(dim=0))


def _patches(images: Level, corners: Sequence[Int64[Tensor, " p"]]) -> Patches:
    windows = images.movedim(1, -1)
    for axis in range(1, images.ndim - 1):
        windows = windows.unfold(axis, PATCH, 1)
    windows = windows.movedim(images.ndim - 1, -1)
    owner = torch.arange(len(images), device=images.device).repeat_interleave(_PATCHES_PER_IMAGE)
    return windows[(owner, *(own.to(images.device) for own in corners))].flatten(1, -2)


def _distance(x: Float[Tensor, "p f"], y: Float[Tensor, "p f"], directions: Float[Tensor, "f directions"]) -> float:
    """Return the Wasserstein-1 distance along each direction, averaged over directions (Rabin et al., 2011)."""
    directions = directions.to(x)
    # NumPy sorts floats with vector instructions. It is several times faster than torch, which also returns indices.
    x_sorted, y_sorted = (np.sort((directions.T @ rows.T).cpu().numpy(), axis=1) for rows in (x, y))
    return float(np.abs(x_sorted - y_sorted).mean(dtype=np.float64))
