"""Encode and decode images and volumes of any size in bounded memory, tile by tile.

Each tile is processed together with a margin around it, the halo. The default halo is as large as the reach of the
network. Then the result for each tile is the same as for the whole image, without seams. A smaller halo is faster, but
tiles then differ slightly near their edges, and the tiles of the decoder are blended into each other.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import ceil, prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.codes import CodeLayout, from_levels, levels_of
from voxlex.models.arrays import ArrayLike, to_image_tensor
from voxlex.models.base import Autoencoder
from voxlex.types import Codes, CodesLike, Image, Levels

Decode = Callable[[Levels, tuple[slice, ...]], Image]
"""A function from the codes of a tile to its image. It also gets the place of the tile in the batch of images."""

LARGEST_TILE = 2**23
"""Largest number of pixels or voxels that are processed at once: a volume of 203³ voxels, or a picture of 2,896²."""

_BLEND = 1  # cells over which neighbouring tiles of the decoder fade into each other


def encode_tiled(
    autoencoder: Autoencoder, images: ArrayLike, *, tile: int | None = None, halo: int | None = None
) -> Codes | Levels:
    """Encode images in tiles; the result is that of `Autoencoder.encode`.

    Here, a cell is a patch with sides of `autoencoder.multiple_of` pixels. With one level, this is a cell of the code
    grid. With several levels, it is a cell of the coarsest level, and contains several cells of the other levels.

    Args:
        autoencoder: In eval mode.
        images: As for `Autoencoder.encode`, of any size.
        tile: Side of a tile in cells, halo excluded; by default as large as `LARGEST_TILE` allows.
        halo: Width of the margin in cells; by default the reach of the encoder. With less, codes differ near edges of
            tiles.

    Raises:
        ValueError: If the images do not fit this model, or its levels cannot be divided into tiles.
    """
    x = to_image_tensor(images, channels=autoencoder.in_channels, spatial_dims=autoencoder.spatial_dims)
    layouts, patch = autoencoder.layouts(x.shape[2:]), autoencoder.multiple_of
    cells = tuple(side // patch for side in x.shape[2:])
    scales = [_scale(layout, cells) for layout in layouts]
    halo = _halo(autoencoder, "encoder") if halo is None else halo
    tile = _tile_side(autoencoder, halo) if tile is None else tile
    levels = [torch.empty(len(x), *layout.shape, dtype=torch.int64, device=autoencoder.device) for layout in layouts]
    for image in range(len(x)):
        for spans in _spans(cells, tile=tile, halo=halo):
            found = levels_of(autoencoder.encode(x[_region(image, [span.seen(patch) for span in spans])]))
            for level, part, scale in zip(levels, found, scales, strict=True):
                inner = part[_region(0, [span.own_within_seen(scale) for span in spans])]
                level[_region(image, [span.own(scale) for span in spans])] = inner
    return from_levels(levels)


@torch.no_grad()
def decode_tiled(
    autoencoder: Autoencoder,
    codes: CodesLike,
    *,
    tile: int | None = None,
    halo: int | None = None,
    decode: Decode | None = None,
) -> Image:
    """Decode codes in tiles, as `Autoencoder.decode` does. `encode_tiled` explains cells.

    Args:
        autoencoder: In eval mode.
        codes: As for `Autoencoder.decode`, of any size.
        tile: Side of a tile in cells, halo excluded; by default as large as `LARGEST_TILE` allows.
        halo: Width of the margin in cells, without the cell in which tiles are blended; by default the decoder's reach.
        decode: Another function that decodes a tile.

    Raises:
        CodesError: If the codes have the wrong number of levels, shape, type or range.
        ValueError: If the levels cannot be divided into tiles.
    """
    levels, patch = autoencoder.levels(codes), autoencoder.multiple_of
    space = autoencoder.space_of([level.shape[2:] for level in levels])
    cells = tuple(side // patch for side in space)
    scales = [_scale(layout, cells) for layout in autoencoder.layouts(space)]
    halo = _halo(autoencoder, "decoder") if halo is None else halo
    tile = _tile_side(autoencoder, halo + _BLEND) if tile is None else tile
    images = torch.zeros(len(levels[0]), autoencoder.in_channels, *space, device=autoencoder.device)
    for image in range(len(images)):
        for spans in _spans(cells, tile=tile, halo=halo + _BLEND):
            seen = [
                level[_region(image, [span.seen(scale) for span in spans])]
                for level, scale in zip(levels, scales, strict=True)
            ]
            region = _region(image, [span.seen(patch) for span in spans])
            decoded = autoencoder.decode(seen) if decode is None else decode(tuple(seen), region)
            for axis, span in enumerate(spans, start=2):
                shape = [1] * decoded.ndim
                shape[axis] = -1
                decoded *= span.fade(patch).to(decoded).view(shape)
            images[region] += decoded
    return images


def needs_tiles(space: Sequence[int]) -> bool:
    """Tell whether an image with these sides is too large to be processed at once."""
    return prod(space) > LARGEST_TILE


def seams(
    autoencoder: Autoencoder, cells: tuple[int, ...], *, tile: int | None = None, halo: int | None = None
) -> list[list[int]]:
    """Return, for each axis, the first cells of the decoder's tiles, except for the first tile."""
    halo = _halo(autoencoder, "decoder") if halo is None else halo
    tile = _tile_side(autoencoder, halo + _BLEND) if tile is None else tile
    return [[length * i // ceil(length / tile) for i in range(1, ceil(length / tile))] for length in cells]


class _Span(NamedTuple):
    """One tile along one axis, in cells: its own range, and the range that the network sees."""

    start: int
    stop: int
    first: int
    last: int
    length: int  # of the whole image

    def own(self, scale: int) -> slice:
        return slice(self.start * scale, self.stop * scale)

    def seen(self, scale: int) -> slice:
        return slice(self.first * scale, self.last * scale)

    def own_within_seen(self, scale: int) -> slice:
        return slice((self.start - self.first) * scale, (self.stop - self.first) * scale)

    def fade(self, patch: int) -> Float[Tensor, " n"]:
        """Return weights of the visible pixels: 1 inside, 0 in the halo, and ramps between. Neighbours add up to 1."""
        pixels = torch.arange(self.first * patch, self.last * patch) + 0.5
        width = _BLEND * patch
        weights = torch.ones(len(pixels))
        if self.start > 0:
            weights *= ((pixels - self.start * patch) / (2 * width) + 0.5).clamp(0, 1)
        if self.stop < self.length:
            weights *= ((self.stop * patch - pixels) / (2 * width) + 0.5).clamp(0, 1)
        return weights


def _spans(cells: tuple[int, ...], *, tile: int, halo: int) -> Iterator[tuple[_Span, ...]]:
    if tile < 2 * _BLEND or halo < 0:
        raise ValueError(f"tile and halo: expected at least {2 * _BLEND} and 0 cells, got {tile} and {halo}")
    axes = []
    for length in cells:
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


def _scale(layout: CodeLayout, cells: tuple[int, ...]) -> int:
    """Return how many cells of a level lie along the side of one cell of the coarsest."""
    scale = layout.grid[0] // cells[0]
    if scale == 0 or layout.grid != tuple(side * scale for side in cells):
        raise ValueError(f"tiles: expected levels with a whole number of cells in each patch, got a grid {layout.grid}")
    return scale


def _halo(autoencoder: Autoencoder, part: str) -> int:
    reach = autoencoder.encoder_reach if part == "encoder" else autoencoder.decoder_reach
    if reach is None:
        raise ValueError(f"halo: expected a number of cells, got None; the reach of this model's {part} is unknown")
    return reach


def _tile_side(autoencoder: Autoencoder, halo: int) -> int:
    """Return the side of the largest tile that fits `LARGEST_TILE` with its halo, at least the width of the halo."""
    cells = int(LARGEST_TILE ** (1 / autoencoder.spatial_dims)) // autoencoder.multiple_of
    return max(cells - 2 * halo, halo, 2 * _BLEND)
