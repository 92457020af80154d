"""Encode and decode images and volumes of any size in bounded memory, tile by tile.

A tile is given to the network with a margin around it, the halo. A network sees only so far: where the halo is at least
its reach, as it is by default, a tile comes out as if the whole had gone through, and there are no seams to hide. With
a smaller halo, which is faster, tiles differ a little, and the decoder's are blended into each other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from math import ceil, prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.models.arrays import to_image_tensor
from voxlex.models.vqvae import VQVAE
from voxlex.types import Codes, Image

LARGEST_TILE = 2**23
"""Pixels, or voxels, that go through a network at once: a volume of 203 voxels a side, a picture of 2,896."""

_BLEND = 1  # cells over which neighbouring tiles of the decoder fade into each other


def encode_tiled(
    autoencoder: VQVAE, images: np.ndarray | Tensor, *, tile: int | None = None, halo: int | None = None
) -> Codes:
    """Return the codes of images, as `VQVAE.encode` does.

    Args:
        autoencoder: In eval mode.
        images: As for `VQVAE.encode`, of any size; sides are multiples of its downsampling.
        tile: Side of a tile in cells of the code grid, halo excluded; by default as large as `LARGEST_TILE` allows.
        halo: Cells of margin; by default the encoder's reach. With less, codes differ near the edges of tiles.

    Raises:
        ValueError: If shape, type or range cannot be images for this model.
    """
    x = to_image_tensor(images, channels=autoencoder.in_channels, spatial_dims=autoencoder.spatial_dims)
    grid = _grid_of(x, autoencoder.downsampling)
    halo = reach(autoencoder.encoder) if halo is None else halo
    tile = _tile_side(autoencoder, halo) if tile is None else tile
    codes: Codes | None = None
    for image in range(len(x)):
        for spans in _spans(grid, tile=tile, halo=halo):
            found = autoencoder.encode(x[_region(image, [span.seen(autoencoder.downsampling) for span in spans])])
            if codes is None:
                codes = found.new_empty(len(x), found.shape[1], *grid)
            inner = found[_region(0, [span.own_within_seen() for span in spans])]
            codes[_region(image, [span.own() for span in spans])] = inner
    assert codes is not None
    return codes


@torch.no_grad()
def decode_tiled(autoencoder: VQVAE, codes: Codes, *, tile: int | None = None, halo: int | None = None) -> Image:
    """Return the images that codes stand for, as `VQVAE.decode` does.

    Args:
        autoencoder: In eval mode.
        codes: `(b, q, *grid)` of any size.
        tile: Side of a tile in cells of the code grid, halo excluded; by default as large as `LARGEST_TILE` allows.
        halo: Cells of margin beyond the one that tiles are blended over; by default the decoder's reach.
    """
    grid, patch = codes.shape[2:], autoencoder.downsampling
    halo = reach(autoencoder.decoder) if halo is None else halo
    tile = _tile_side(autoencoder, halo + _BLEND) if tile is None else tile
    images = torch.zeros(
        len(codes), autoencoder.in_channels, *(side * patch for side in grid), device=autoencoder.device
    )
    for image in range(len(codes)):
        for spans in _spans(grid, tile=tile, halo=halo + _BLEND):
            decoded = autoencoder.decode(codes[_region(image, [span.seen() for span in spans])])
            for axis, span in enumerate(spans, start=2):
                shape = [1] * decoded.ndim
                shape[axis] = -1
                decoded *= span.fade(patch).to(decoded).view(shape)
            images[_region(image, [span.seen(patch) for span in spans])] += decoded
    return images


def needs_tiles(autoencoder: VQVAE, grid: tuple[int, ...]) -> bool:
    """Tell whether an image of so many cells is too large to go through the networks at once."""
    return prod(side * autoencoder.downsampling for side in grid) > LARGEST_TILE


def seams(
    autoencoder: VQVAE, grid: tuple[int, ...], *, tile: int | None = None, halo: int | None = None
) -> list[list[int]]:
    """Return, for each axis, the cells at which the decoder's tiles begin, but for the first."""
    halo = reach(autoencoder.decoder) if halo is None else halo
    tile = _tile_side(autoencoder, halo + _BLEND) if tile is None else tile
    return [[length * i // ceil(length / tile) for i in range(1, ceil(length / tile))] for length in grid]


def reach(network: nn.Module) -> int:
    """Return how many cells of the code grid beyond its own a network's output depends on: its attribute `reach`.

    Raises:
        ValueError: If it has none.
    """
    found = getattr(network, "reach", None)
    if not isinstance(found, int):
        raise ValueError(f"halo: {type(network).__name__} does not tell its reach, so the halo must be given")
    return found


class _Span(NamedTuple):
    """One tile along one axis, in cells: its own range, and the range that the network sees."""

    start: int
    stop: int
    first: int
    last: int
    length: int  # of the whole grid

    def own(self) -> slice:
        return slice(self.start, self.stop)

    def seen(self, patch: int = 1) -> slice:
        return slice(self.first * patch, self.last * patch)

    def own_within_seen(self) -> slice:
        return slice(self.start - self.first, self.stop - self.first)

    def fade(self, patch: int) -> Float[Tensor, " n"]:
        """Weights of the pixels seen: 1 inside, 0 in the halo, and ramps between, that complement a neighbour's."""
        pixels = torch.arange(self.first * patch, self.last * patch) + 0.5
        width = _BLEND * patch
        weights = torch.ones(len(pixels))
        if self.start > 0:
            weights *= ((pixels - self.start * patch) / (2 * width) + 0.5).clamp(0, 1)
        if self.stop < self.length:
            weights *= ((self.stop * patch - pixels) / (2 * width) + 0.5).clamp(0, 1)
        return weights


def _spans(grid: tuple[int, ...], *, tile: int, halo: int) -> Iterator[tuple[_Span, ...]]:
    if tile < 2 * _BLEND or halo < 0:
        raise ValueError(f"tile and halo: expected at least {2 * _BLEND} and 0 cells, got {tile} and {halo}")
    axes = []
    for length in grid:
        count = ceil(length / tile)
        bounds = [length * i // count for i in range(count + 1)]  # tiles of nearly one size
        axes.append(
            [
                _Span(start, stop, max(0, start - halo), min(length, stop + halo), length)
                for start, stop in pairwise(bounds)
            ]
        )
    return product(*axes)


def _region(image: int, spans: Sequence[slice]) -> tuple[slice, ...]:
    return (slice(image, image + 1), slice(None), *spans)


def _tile_side(autoencoder: VQVAE, halo: int) -> int:
    """Cells of a tile that stays below `LARGEST_TILE` with its halo; at least as wide as that."""
    cells = int(LARGEST_TILE ** (1 / autoencoder.spatial_dims)) // autoencoder.downsampling
    return max(cells - 2 * halo, halo, 2 * _BLEND)


def _grid_of(x: Image, patch: int) -> tuple[int, ...]:
    if any(side % patch for side in x.shape[2:]):
        raise ValueError(f"images: expected sides that are multiples of {patch}, got {tuple(x.shape[2:])}")
    return tuple(side // patch for side in x.shape[2:])
