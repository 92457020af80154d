"""The gated PixelCNN: an autoregressive prior over code grids, in two or three dimensions."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.codes import CodeLayout
from voxlex.priors.base import LevelPrior
from voxlex.priors.conditions import Conditions
from voxlex.priors.decoding import StacksCache, slab_at
from voxlex.priors.draw import Draw
from voxlex.priors.gated import CellsGiven, GatedStacks
from voxlex.priors.level import Given, check_network
from voxlex.priors.watching import WatchLevel, first_cells
from voxlex.progress import Progress
from voxlex.types import Codes


class GatedPixelCNN(LevelPrior):
    """Conditional gated PixelCNN (van den Oord et al., 1606.05328), the prior of the VQ-VAE paper.

    Cells are drawn in raster order, and the codes of a cell one codebook after the other:
    p(codes) = Π_cells Π_j p(c_j | the rows above, the cells to the left, c_1 … c_{j-1} of this cell). A vertical stack
    sees the rows above. A horizontal stack sees the cells to the left and is fed by the vertical one, so that together
    they see every earlier cell within reach, without a blind spot. In volumes a third stack sees the planes before and
    feeds the vertical one.

    It goes beyond the paper in three ways: a learned map of positions, because brains lie in the middle of their image;
    skip connections from every layer to the output; and several codes in a cell.

    Args:
        layout: Layout of the codes, with a grid of two or three axes.
        context: Layouts of the coarser levels that it is given.
        conditions: What it can be asked for; None for an unconditional prior.
        width: Channels of each stack.
        layers: Gated layers after the first convolution.
        kernel_size: Side of the layers' kernels; odd, at least 3.
        embedding_dim: Size of the vectors that stand for the codes of a cell at the input.
        dropout: Share of each layer's gated features zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True
    first_kernel_size = 7
    stacks: GatedStacks

    def __init__(
        self,
        *,
        layout: CodeLayout,
        context: Sequence[CodeLayout] = (),
        conditions: Conditions | None = None,
        width: int = 64,
        layers: int = 6,
        kernel_size: int = 3,
        embedding_dim: int = 64,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        sizes = {"width": width, "layers": layers, "embedding_dim": embedding_dim}
        check_network(layout, kernel_size=kernel_size, least_kernel_size=3, dropout=dropout, **sizes)
        stacks = GatedStacks(
            in_channels=embedding_dim,
            grid=layout.grid,
            width=width,
            layers=layers,
            kernel_size=kernel_size,
            first_kernel_size=self.first_kernel_size,
            dropout=dropout,
        )
        super().__init__(
            layout=layout,
            context=context,
            conditions=conditions,
            width=width,
            embedding_dim=embedding_dim,
            condition_dropout=condition_dropout,
            network={"stacks": stacks},
        )

    def _features(self, codes: Codes, given: Given) -> Float[Tensor, "b *grid c"]:
        embedded = self.embedding(codes).movedim(-1, 1)
        return self.stacks(embedded, self._in_cells(given)).movedim(1, -1)

    def _sample(
        self, given: Given, draw: Draw, progress: Progress | None, watch: WatchLevel | None = None
    ) -> Int64[Tensor, "n q *grid"]:
        n, grid = len(given.condition), self.layout.grid
        cache = StacksCache(self.stacks, self._in_cells(given))
        codes = torch.empty((n, *self.layout.shape), dtype=torch.int64, device=self.device)
        for number, cell in enumerate(itertools.product(*map(range, grid))):
            for axis in range(len(cell) - 1):
                if not any(cell[axis + 1 :]):
                    cache.push_slab(self._before(codes, cell[: axis + 1]), cell[: axis + 1])
            known = cache.push_cell(self._before(codes, cell), cell)
            slab_at(codes, cell).copy_(self.head.draw(known, draw, cells=number))
            if (number + 1) % grid[-1] == 0:
                if progress is not None:
                    progress(number + 1, self.layout.cells)
                if watch is not None:
                    watch(codes, first_cells(self.layout, n, number + 1))
        return codes

    def _in_cells(self, given: Given) -> CellsGiven:
        """Return what is given for each cell, or for all cells alike."""
        ones = (1,) * len(self.layout.grid)
        condition = given.condition.unflatten(1, (*ones, -1))
        return condition if given.context is None else condition + given.context.type_as(condition)

    def _before(self, codes: Int64[Tensor, "n q *grid"], place: tuple[int, ...]) -> Float[Tensor, "n e *slab"]:
        """Embedded codes of the slab before the one at `place`, along the last of its axes; zeros before the first."""
        *outer, index = place
        if index == 0:
            slab = self.layout.grid[len(place) :]
            return self.embedding.weight.new_zeros(len(codes), self.embedding.weight.shape[2], *slab)
        before: Tensor = self.embedding(slab_at(codes, (*outer, index - 1)))
        return before.movedim(-1, 1)
