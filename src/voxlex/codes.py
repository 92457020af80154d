"""Code layouts: the number, the arrangement and the range of the codes of an image."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from voxlex.progress import Progress, part_of
from voxlex.types import Codes, checked_codes

T = TypeVar("T")

_POOLS = {
    2: (functional.adaptive_max_pool2d, functional.max_pool2d),
    3: (functional.adaptive_max_pool3d, functional.max_pool3d),
}
"""Pooling to a grid, and over neighbours, by the number of axes."""


@dataclass(frozen=True, kw_only=True)
class CodeLayout:
    """The layout of the codes of one level: `num_codebooks` codes in each cell of a grid.

    A model with codes at several scales has one layout for each level, coarsest first.

    Attributes:
        num_embeddings: Size K of each codebook; codes lie in [0, K).
        num_codebooks: Codes q in each cell.
        grid: Cells along each axis: (h, w), or (d, h, w) for volumes.

    Raises:
        ValueError: If a number is below 1, or the grid has no axis.
    """

    num_embeddings: int
    num_codebooks: int = 1
    grid: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.num_embeddings, self.num_codebooks) < 1:
            raise ValueError(
                f"expected num_embeddings >= 1 and num_codebooks >= 1, got {self.num_embeddings} and "
                f"{self.num_codebooks}"
            )
        if not self.grid or min(self.grid) < 1:
            raise ValueError(f"grid: expected one axis or more with one cell or more along each, got {self.grid}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image's codes, `(q, *grid)`."""
        return (self.num_codebooks, *self.grid)

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return prod(self.grid)

    @property
    def codes_per_image(self) -> int:
        """Codes of one image."""
        return prod(self.shape)

    @property
    def raw_bits(self) -> float:
        """Bits of the codes of one image without a prior, at log₂K bits each."""
        return self.codes_per_image * log2(self.num_embeddings)

    def check(self, codes: Tensor, *, name: str = "codes") -> Codes:
        """Return codes as int64, after checking that they have this layout.

        Args:
            codes: Codes `(b, q, *grid)` of any type of whole numbers.
            name: What an error calls the codes.

        Raises:
            CodesError: If the shape, the type or the range differs from the layout, or there is no image.
        """
        return checked_codes(codes, num_embeddings=self.num_embeddings, shape=self.shape, name=name)


def rate_bpp(layouts: Sequence[CodeLayout], *, pixels_per_image: int) -> float:
    """Return the bits per pixel of codes that are stored at log₂K bits each, over all levels."""
    return sum(layout.raw_bits for layout in layouts) / pixels_per_image


def levels_of(codes: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return codes as a tuple of levels, coarsest first. The codes of a single level may be one tensor."""
    return (codes,) if isinstance(codes, Tensor) else tuple(codes)


def from_levels(levels: Sequence[T]) -> T | tuple[T, ...]:
    """Return a single level as one tensor, and several levels as a tuple, as the public methods do."""
    return levels[0] if len(levels) == 1 else tuple(levels)


def for_each_level(
    change: Callable[[Tensor], Tensor], codes: Tensor | tuple[Tensor, ...]
) -> Tensor | tuple[Tensor, ...]:
    """Apply a function to each level."""
    return from_levels([change(level) for level in levels_of(codes)])


def take(codes: Tensor | Sequence[Tensor], rows: slice | Sequence[int] | Tensor) -> Tensor | tuple[Tensor, ...]:
    """Return the codes of some of the images, at all levels."""
    return from_levels([level[rows] for level in levels_of(codes)])


def concatenate(batches: Iterable[Tensor | Sequence[Tensor]]) -> Tensor | tuple[Tensor, ...]:
    """Join the codes of several batches of images, level by level."""
    return from_levels([torch.cat(parts) for parts in zip(*map(levels_of, batches), strict=True)])


def in_batches(
    draw: Callable[[int, int, Progress | None], Tensor | tuple[Tensor, ...]],
    count: int,
    *,
    at_once: int,
    progress: Progress | None,
) -> Tensor | tuple[Tensor, ...]:
    """Draw the codes of `count` images, some at a time.

    Args:
        draw: Function that draws a batch. It gets the number of the first image, the size of the batch, and a progress.
        count: Number of images in all.
        at_once: Number of images in a batch.
        progress: Called with the work done and the total work of all batches together.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    drawn = []
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        drawn.append(draw(start, size, part_of(progress, start, size, count)))
    return concatenate(drawn)


def touched_cells(region: Bool[Tensor, "*space"], grid: Sequence[int]) -> Bool[Tensor, "*grid"]:
    """Return the cells of a grid that a region of the image touches, and their neighbours."""
    touch, spread = _POOLS[region.ndim]
    return spread(touch(region[None, None].float(), tuple(grid)), 3, stride=1, padding=1)[0, 0].bool()
