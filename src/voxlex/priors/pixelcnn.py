"""The gated PixelCNN: an autoregressive prior over code grids, in two or three dimensions."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.priors.base import Prior
from voxlex.priors.conditioning import ConditionEmbedding
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.decoding import StacksCache, slab_at
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import Draw
from voxlex.priors.embedding import CodeEmbedding
from voxlex.priors.stacks import GatedStacks
from voxlex.priors.start import start_at_marginals
from voxlex.progress import Progress
from voxlex.types import Codes, Logits


class GatedPixelCNN(Prior):
    """Conditional gated PixelCNN (van den Oord et al., 1606.05328), the prior of the VQ-VAE paper.

    Cells are drawn in raster order, and the codes of a cell one codebook after the other:
    p(codes) = Π_cells Π_j p(c_j | the rows above, the cells to the left, c_1 … c_{j-1} of this cell). A vertical stack
    sees the rows above, a horizontal stack the cells to the left and the vertical stack, so that together they see
    every earlier cell within reach: no blind spot. Of volumes, a third stack sees the planes before and feeds the
    vertical one. Beyond the paper it has a learned map of positions, since brains lie in the middle of their image,
    skip connections from every layer to the output, and several codes in a cell.

    Args:
        num_embeddings: Size K of each codebook.
        grid: Code grid, (h, w) or (d, h, w).
        num_codebooks: Codes q in each cell.
        conditions: What it can be asked for; none for an unconditional prior.
        width: Channels of each stack.
        layers: Gated layers after the first convolution.
        kernel_size: Side of the layers' kernels; odd, at least 3.
        embedding_dim: Size of the vectors that stand for the codes of a cell at the input.
        dropout: Share of each layer's gated features zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Raises:
        ValueError: An argument out of its range.
    """

    first_kernel_size = 7

    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        conditions: Conditions | None = None,
        width: int = 64,
        layers: int = 6,
        kernel_size: int = 3,
        embedding_dim: int = 64,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        super().__init__(
            num_embeddings=num_embeddings,
            grid=grid,
            num_codebooks=num_codebooks,
            conditions=conditions,
            dropout=dropout,
            condition_dropout=condition_dropout,
        )
        if len(self.grid) not in (2, 3):
            raise ValueError(f"GatedPixelCNN needs a grid of two or three axes, not {self.grid}")
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, not {kernel_size}")
        if min(width, layers, embedding_dim) < 1:
            raise ValueError(
                f"width, layers and embedding_dim must be positive, not {width}, {layers}, {embedding_dim}"
            )
        self.embedding = CodeEmbedding(
            num_embeddings=num_embeddings, num_codebooks=num_codebooks, embedding_dim=embedding_dim
        )
        self.stacks = GatedStacks(
            in_channels=embedding_dim,
            grid=self.grid,
            width=width,
            layers=layers,
            kernel_size=kernel_size,
            first_kernel_size=self.first_kernel_size,
            dropout=dropout,
        )
        self.conditioning = ConditionEmbedding(self.conditions, width=width, dropout=condition_dropout)
        self.head = DepthHead(width=width, num_embeddings=num_embeddings, num_codebooks=num_codebooks)

    def start(self, codes: Codes, codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Before training, make the output the empirical marginals, and let codes with like vectors begin alike.

        The codebooks' standardised vectors, turned at random, become the embeddings and, small, the rows of the output
        layers; training moves both on. The turns are drawn from torch's own generator, as initial weights are.

        Raises:
            CodesError: The codes are out of range, or not of this prior's grid.
            ValueError: The codebook has not one vector for each code.
        """
        self._check_codes(codes)
        start_at_marginals(codes, codebook, embedding=self.embedding, head=self.head)

    def forward(self, codes: Codes, condition: Condition | None = None) -> Logits:
        """Teacher-forced logits; see `Prior.forward`."""
        return self.head(self._features(codes, condition), codes)

    def code_log_probs(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, "b q *grid"]:
        """Log-probability of each code given the codes before it, in nats, holding few logits at a time."""
        return self.head.log_probs(self._features(codes, condition), codes)

    def _features(self, codes: Codes, condition: Condition | None) -> Float[Tensor, "b *grid c"]:
        """What is known of each cell from the cells before it."""
        self._check_codes(codes)
        given = self.conditioning(self._resolve_condition(condition, len(codes)))
        return self.stacks(self.embedding(codes).movedim(-1, 1), given).movedim(1, -1)

    def _sample(
        self, n: int, condition: Condition | None, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        cache = StacksCache(self.stacks, self.conditioning(self._resolve_condition(condition, n)))
        codes = torch.empty((n, self.num_codebooks, *self.grid), dtype=torch.int64, device=self.device)
        for done, cell in enumerate(itertools.product(*map(range, self.grid))):
            for axis in range(len(cell) - 1):
                if not any(cell[axis + 1 :]):
                    cache.push_slab(self._before(codes, cell[: axis + 1]), cell[: axis + 1])
            known = cache.push_cell(self._before(codes, cell), cell)
            slab_at(codes, cell).copy_(self.head.draw(known, draw))
            if progress is not None and (done + 1) % self.grid[-1] == 0:
                progress(done + 1, math.prod(self.grid))
        return codes

    def _before(self, codes: Int64[Tensor, "n q *grid"], place: tuple[int, ...]) -> Float[Tensor, "n e *slab"]:
        """Embedded codes of the slab before the one at `place`, along the last of its axes; zeros before the first."""
        *outer, index = place
        if index == 0:
            slab = self.grid[len(place) :]
            return self.embedding.weight.new_zeros(len(codes), self.embedding.weight.shape[2], *slab)
        before: Tensor = self.embedding(slab_at(codes, (*outer, index - 1)))
        return before.movedim(-1, 1)
