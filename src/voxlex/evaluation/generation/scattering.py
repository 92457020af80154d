"""Features of images from two fixed layers of wavelets, which need no weights."""

from functools import lru_cache
from math import cos, pi, sin

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

SMALLEST = 16
"""Side in pixels of the smallest image that the coarsest wavelets fit."""

_SCALES, _ORIENTATIONS = 4, 4
_SIDE, _FREQUENCY, _WIDTH, _SLANT = 7, 0.72 * pi, 1.1, 0.6  # of a wavelet, in pixels of its scale
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # Burt and Adelson, 1983
_FAINT = 0.002  # contrast below which nothing is seen: half a grey level of 8 bits
_SLICES = 16

_BRIGHTNESS_GRID, _TEXTURE_GRID = 8, 4
_WEIGHTS = {"brightness": 0.86, "texture": 0.07, "arrangement": 2.2}  # shares of variance of brain slices, 1:1:4

Maps = Float[Tensor, "n _k _h _w"]
"""Maps of any number and size, because scales differ in size and layers in number."""


def log_scattering(images: Image) -> Float[Tensor, "n f"]:
    """Describe images by a scattering transform of two layers, with a logarithm after the first.

    These are the default features. The first layer is the modulus of Morlet wavelets of four orientations and four
    scales, and the second filters the modulus again (Bruna and Mallat, arXiv 1203.1513). The logarithm makes faint
    texture and the traces of blocks count as much as strong edges. The features of an image are

    - the mean brightness in 8×8 cells;
    - the mean logarithm of the first layer in 4×4 cells: how much texture there is, and where;
    - the mean of the second layer, of wavelets as fine as those of the first layer and coarser ones: how edges and
      texture are arranged.

    Nothing is fitted or random, so the figures of different runs are comparable. The features do not know anatomy.

    Args:
        images: Images `(n, c, h, w)` or volumes `(n, c, d, h, w)` in [0, 1], with at least 16 pixels along the last two
            axes. For a volume, the features of 16 slices evenly spaced along its first axis are averaged.

    Returns:
        Features `(n, 464 c)`, float32. Each of the three parts has a weight, so that all count in distances.

    Raises:
        ValueError: If the images are too small or have another number of dimensions.
    """
    if images.ndim not in (4, 5) or min(images.shape[-2:]) < SMALLEST:
        raise ValueError(f"images: expected {SMALLEST}×{SMALLEST} pixels or more, got {tuple(images.shape)}")
    if images.ndim == 5:
        levels = torch.linspace(0, images.shape[2] - 1, min(_SLICES, images.shape[2])).round().long()
        return torch.stack([log_scattering(images[:, :, level]) for level in levels]).mean(dim=0)
    channels = images.float().flatten(0, 1)[:, None]
    first = [(_modulus(level) + _FAINT).log() for level in _pyramid(channels, levels=_SCALES)]
    parts = {
        "brightness": [functional.adaptive_avg_pool2d(channels, _BRIGHTNESS_GRID)],
        "texture": [functional.adaptive_avg_pool2d(layer, _TEXTURE_GRID) for layer in first],
        "arrangement": _second_layer(first),
    }
    rows = [_WEIGHTS[name] * values.flatten(1) for name, found in parts.items() for values in found]
    return torch.cat(rows, dim=1).view(len(images), -1)


def _second_layer(first: list[Maps]) -> list[Float[Tensor, "n k"]]:
    """Return the mean modulus of each map of the first layer, filtered at its own scale and at coarser ones."""
    means = []
    for scale, layer in enumerate(first[:-1]):
        for coarser in _pyramid(layer, levels=_SCALES - scale):
            means.append(_modulus(coarser).mean(dim=(2, 3)))
    return means


def _pyramid(maps: Maps, *, levels: int) -> list[Maps]:
    """Return maps at full size and at halves of it, each smoothed before it is sampled."""
    taps = torch.tensor(_BINOMIAL).to(maps)
    kernel = torch.outer(taps, taps)[None, None]
    found = [maps]
    while len(found) < levels:
        single = functional.pad(found[-1].flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
        found.append(functional.conv2d(single, kernel, stride=2).unflatten(0, maps.shape[:2])[:, :, 0])
    return found


def _modulus(maps: Maps) -> Maps:
    """Return the modulus of each map filtered with each wavelet."""
    half = _SIDE // 2
    single = functional.pad(maps.flatten(0, 1)[:, None], (half, half, half, half), mode="replicate")
    waves = functional.conv2d(single, _wavelets().to(maps))
    real, imaginary = waves[:, ::2], waves[:, 1::2]
    # The root of a small number keeps the result the same for images alone and in batches, up to rounding.
    return (real.square() + imaginary.square() + 1e-12).sqrt().reshape(len(maps), -1, *maps.shape[2:])


@lru_cache(maxsize=1)
def _wavelets() -> Float[Tensor, "k 1 side side"]:
    """Return Morlet wavelets with mean 0 and length 1; for each orientation, the real and the imaginary part."""
    along = torch.arange(_SIDE) - _SIDE // 2
    down, across = torch.meshgrid(along.float(), along.float(), indexing="ij")
    found = []
    for number in range(_ORIENTATIONS):
        angle = pi * number / _ORIENTATIONS
        ahead, aside = across * cos(angle) + down * sin(angle), down * cos(angle) - across * sin(angle)
        window = (-(ahead.square() + (_SLANT * aside).square()) / (2 * _WIDTH**2)).exp()
        real, imaginary = window * (_FREQUENCY * ahead).cos(), window * (_FREQUENCY * ahead).sin()
        real = real - window * (real.sum() / window.sum())
        length = (real.square() + imaginary.square()).sum().sqrt()
        found += [real / length, imaginary / length]
    return torch.stack(found)[:, None]
