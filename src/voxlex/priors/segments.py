"""A transformer over code grids whose sequence has one element for each few cells of a row."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.nn.attention import BlockCache, TransformerBlock

Segments = Float[Tensor, "b s c"]


def cells_per_segment(grid: Sequence[int], most: int) -> int:
    """Return the length of the segments of a row: the largest, up to `most`, that divides the row evenly."""
    return max(span for span in range(1, most + 1) if grid[-1] % span == 0)


class SegmentTransformer(nn.Module):
    """Transformer over segments of rows, in raster order, that computes features for each cell.

    A row is divided into segments of a few cells, and each segment is one element of the sequence. With segments of p
    cells the sequence is p times shorter, and attention over it p² times cheaper. The transformer does not resolve the
    cells within a segment: other modules add what lies next to a cell, as in Megabyte (Yu et al., 2305.07185).

    Each segment and each cell has a learned vector of its own, because brains lie in the middle of their image. The
    vector of an image's conditions is added to every segment.

    Args:
        grid: Code grid.
        span: Cells in a segment; a divisor of the last axis.
        width: Channels; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        causal: Let each segment see only itself and the segments before it.
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """

    expansion = 4

    def __init__(
        self,
        *,
        grid: Sequence[int],
        span: int,
        width: int,
        layers: int,
        heads: int,
        causal: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        if min(width, layers) < 1:
            raise ValueError(f"expected width >= 1 and layers >= 1, got {width} and {layers}")
        cells = math.prod(grid)
        self.span = span
        self.segment_position = nn.Parameter(torch.zeros(cells // span, width))
        self.cell_position = nn.Parameter(torch.zeros(cells // span, span, width))
        self.condition_bias = nn.Linear(width, width, bias=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(width=width, heads=heads, expansion=self.expansion, causal=causal, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, bias=False)
        self.to_cells = nn.Linear(width, span * width)

    def forward(self, x: Segments, given: Float[Tensor, "b c"]) -> Float[Tensor, "b t c"]:
        """Return features of each cell; `given` are the images' embedded conditions."""
        # Under autocast a float32 bias would make float32 of all that follows.
        x = x + (self.segment_position + self.condition_bias(given).unsqueeze(1)).type_as(x)
        for block in self.blocks:
            x = block(x)
        features = self.to_cells(self.norm(x)).unflatten(2, (self.span, -1))
        return (features + self.cell_position.type_as(features)).flatten(1, 2)


class SegmentCache:
    """A causal `SegmentTransformer` for `n` images whose segments come one at a time, in raster order.

    Each key and value is computed once and kept: `2 · layers · n · segments · width` numbers.

    Args:
        transformer: Its dropout is not applied.
        given: Embedded condition of each image.
    """

    def __init__(self, transformer: SegmentTransformer, given: Float[Tensor, "n c"]) -> None:
        self.transformer = transformer
        self.condition_bias = transformer.condition_bias(given)
        length = len(transformer.segment_position)
        self.blocks = [BlockCache(cast(TransformerBlock, block), len(given), length) for block in transformer.blocks]

    def push(self, x: Float[Tensor, "n c"], at: int) -> Float[Tensor, "n p c"]:
        """Return features of the cells of segment `at`; all segments before it must have been pushed."""
        x = x + self.transformer.segment_position[at] + self.condition_bias
        for block in self.blocks:
            x = block.push(x, at)
        features = self.transformer.to_cells(self.transformer.norm(x)).unflatten(1, (self.transformer.span, -1))
        return features + self.transformer.cell_position[at]
