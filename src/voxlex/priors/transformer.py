"""A decoder-only transformer over the cells of code grids, in two or three dimensions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.priors.base import LevelPrior
from voxlex.priors.conditions import Conditions
from voxlex.priors.draw import Draw
from voxlex.priors.level import Given, check_network
from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.priors.segments import SegmentCache, SegmentTransformer, cells_per_segment
from voxlex.priors.watching import WatchLevel, first_cells
from voxlex.progress import Progress
from voxlex.types import Codes


class TransformerPrior(LevelPrior):
    """Autoregressive transformer (Vaswani et al., 1706.03762) over the cells of a grid in raster order.

    p(codes) = Π_cells Π_j p(c_j | all earlier cells, c_1 … c_{j-1} of this cell). The features of a cell are the sum of
    two parts. The first is a linear map of the earlier codes around the cell; it learns within a minute how neighbours
    depend on each other. The second comes from a transformer over segments of rows, up to the cell's own segment; it
    learns what belongs together across the image. Its sequence is a few times shorter than the number of cells.

    A segment has at most (kernel_size + 1) / 2 cells. The cells of a segment that have already been drawn are then
    among the neighbours of the cell, so that every earlier cell is seen.

    Args:
        layout: Layout of the codes, with a grid of two or three axes.
        context: Layouts of the coarser levels that it is given.
        conditions: What it can be asked for; None for an unconditional prior.
        width: Channels of the transformer; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the square or cube of neighbours, of which the earlier half is seen; odd, at least 3.
        embedding_dim: Size of the vectors that stand for the codes of a cell at the input.
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).
        grouped: Choose a code in two steps, a group of codes that are alike and one of the group; see `GroupedSoftmax`.

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True

    neighbours: EarlierNeighbours
    segment_neighbours: EarlierNeighbours
    segments: SegmentTransformer

    def __init__(
        self,
        *,
        layout: CodeLayout,
        context: Sequence[CodeLayout] = (),
        conditions: Conditions | None = None,
        width: int = 128,
        layers: int = 2,
        heads: int = 2,
        kernel_size: int = 7,
        embedding_dim: int = 32,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
        grouped: bool = True,
    ) -> None:
        sizes = {"width": width, "layers": layers, "embedding_dim": embedding_dim}
        check_network(layout, kernel_size=kernel_size, least_kernel_size=3, dropout=dropout, **sizes)
        grid, span = layout.grid, cells_per_segment(layout.grid, (kernel_size + 1) // 2)
        around = {"in_channels": embedding_dim, "out_channels": width, "kernel_size": kernel_size}
        super().__init__(
            layout=layout,
            context=context,
            conditions=conditions,
            width=width,
            embedding_dim=embedding_dim,
            condition_dropout=condition_dropout,
            grouped=grouped,
            network={
                "neighbours": EarlierNeighbours(grid=grid, **around),
                "segment_neighbours": EarlierNeighbours(grid=grid, stride=span, **around),
                "segments": SegmentTransformer(
                    grid=grid, span=span, width=width, layers=layers, heads=heads, causal=True, dropout=dropout
                ),
            },
        )
        self.context_to_segments = nn.Linear(span * width, width) if context else None

    def _features(self, codes: Codes, given: Given) -> Float[Tensor, "b *grid c"]:
        embedded = self.embedding(codes)
        near, so_far = self.neighbours(embedded), self.segment_neighbours(embedded)
        if given.context is not None:
            for_cells, for_segments = self._from_context(given.context)
            near, so_far = near + for_cells, so_far + for_segments
        return (near + self.segments(so_far, given.condition)).unflatten(1, self.layout.grid)

    def _from_context(
        self, context: Float[Tensor, "b *grid c"]
    ) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b s c"]]:
        """Return what the coarser levels add to each cell, and to each segment."""
        assert self.context_to_segments is not None
        cells = context.flatten(1, -2)
        return cells, self.context_to_segments(cells.unflatten(1, (-1, self.segments.span)).flatten(2))

    def _sample(
        self, given: Given, draw: Draw, progress: Progress | None, watch: WatchLevel | None = None
    ) -> Int64[Tensor, "n q *grid"]:
        n, cells, span = len(given.condition), self.layout.cells, self.segments.span
        cache = SegmentCache(self.segments, given.condition)
        context = None if given.context is None else self._from_context(given.context)
        # One cell more than there are: neighbours beyond the grid are zeros.
        embedded = self.embedding.weight.new_zeros(n, cells + 1, self.embedding.weight.shape[2])
        codes = torch.empty((n, self.layout.num_codebooks, cells), dtype=torch.int64, device=self.device)
        for cell in range(cells):
            segment, place = divmod(cell, span)
            if place == 0:
                so_far = self.segment_neighbours.at(embedded, segment)
                if context is not None:
                    so_far = so_far + context[1][:, segment]
                far = cache.push(so_far, segment)
            known = self.neighbours.at(embedded, cell) + far[:, place]
            if context is not None:
                known = known + context[0][:, cell]
            codes[..., cell] = self.head.draw(known, draw, cells=cell)
            embedded[:, cell] = self.embedding(codes[..., cell])
            if (cell + 1) % self.layout.grid[-1] == 0:
                if progress is not None:
                    progress(cell + 1, cells)
                if watch is not None:
                    watch(codes.unflatten(2, self.layout.grid), first_cells(self.layout, n, cell + 1))
        return codes.unflatten(2, self.layout.grid)
