"""Sliced Wasserstein distance between the patches of two sets of images, scale by scale; no trained weights.

Karras, Aila, Laine, Lehtinen, *Progressive Growing of GANs* (arXiv 1710.10196), section 5: random 7×7 patches from each
level of a Laplacian pyramid, normalised per channel, compared along random directions.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

PATCH = 7
SMALLEST = 16
"""Side in pixels at which the pyramid ends, as in the paper."""

_PATCHES_PER_IMAGE = 64
_DIRECTIONS = 128
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # Burt and Adelson, 1983
_FLAT = 1e-6  # a level with less contrast than this shows nothing

Patches = Float[Tensor, "p k c"]
Level = Float[Tensor, "b c *_"]
"""Images of any size: the levels of one pyramid differ."""


def sliced_wasserstein(
    x: Float[Tensor, "n _ *_"], y: Float[Tensor, "m _ *_"], *, generator: torch.Generator
) -> dict[int, float]:
    """Compare two sets of as many images, scale by scale.

    Unlike in the paper, both sets are normalised by mean and deviation of the reference `y`: normalising each by its
    own would hide that images are too dark, or that blur has weakened their details.

    Args:
        x: Images to judge in [0, 1], `(n, c, *space)`, at least `SMALLEST` pixels along each axis.
        y: Reference, as many of the same shape.
        generator: Draws patches and directions.

    Returns:
        Distance in standard deviations of the reference, by the shortest side of the pyramid's level in pixels: the
        finest details first, the coarsest image last. 0 is equal; finite sets of one kind stay above it.

    Raises:
        ValueError: The sets differ in size or shape, or the images are too small.
    """
    if x.shape != y.shape:
        raise ValueError(f"both sets must hold as many images of one shape, found {tuple(x.shape)}, {tuple(y.shape)}")
    if min(x.shape[2:]) < SMALLEST:
        raise ValueError(f"images must measure at least {SMALLEST} pixels along each axis, found {tuple(x.shape[2:])}")
    distances = {}
    for x_level, y_level in zip(laplacian_pyramid(x), laplacian_pyramid(y), strict=True):
        y_patches = _draw_patches(y_level, generator)
        mean, deviation = y_patches.mean((0, 1)), y_patches.std((0, 1)).clamp_min(_FLAT)
        both = (_draw_patches(x_level, generator), y_patches)
        x_rows, y_rows = (((patches - mean) / deviation).flatten(1) for patches in both)
        distances[min(x_level.shape[2:])] = _distance(x_rows, y_rows, generator)
    return distances


def laplacian_pyramid(images: Level) -> list[Level]:
    """Split images into bands of detail, finest first, and the coarse rest; expanding and adding restores them.

    Burt and Adelson, *The Laplacian Pyramid as a Compact Image Code* (1983). Each level has half the side of the last.
    """
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST:
        coarse = _reduced(images)
        levels.append(images - expanded(coarse, images.shape))
        images = coarse
    return [*levels, images]


def expanded(coarse: Level, shape: torch.Size) -> Level:
    """Double the side of images, up to `shape`, by interpolating with the binomial filter."""
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


def _draw_patches(images: Level, generator: torch.Generator) -> Patches:
    windows = images.movedim(1, -1)
    for axis in range(1, images.ndim - 1):
        windows = windows.unfold(axis, PATCH, 1)
    windows = windows.movedim(images.ndim - 1, -1)
    count = len(images) * _PATCHES_PER_IMAGE
    corners = [
        torch.randint(windows.shape[axis], (count,), generator=generator).to(images.device)
        for axis in range(1, images.ndim - 1)
    ]
    owner = torch.arange(len(images), device=images.device).repeat_interleave(_PATCHES_PER_IMAGE)
    return windows[(owner, *corners)].flatten(1, -2)


def _distance(x: Float[Tensor, "p f"], y: Float[Tensor, "p f"], generator: torch.Generator) -> float:
    """Mean over random directions of the Wasserstein-1 distance along each (Rabin et al., 2011)."""
    directions = torch.randn(x.shape[1], _DIRECTIONS, generator=generator)
    directions = (directions / directions.norm(dim=0)).to(x)
    # NumPy sorts floats with vector instructions, several times faster than torch, which also keeps track of places.
    x_sorted, y_sorted = (np.sort((directions.T @ rows.T).cpu().numpy(), axis=1) for rows in (x, y))
    return float(np.abs(x_sorted - y_sorted).mean(dtype=np.float64))
