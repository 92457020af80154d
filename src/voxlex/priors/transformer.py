"""A decoder-only transformer over the cells of code grids, in two or three dimensions."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.priors.base import Prior
from voxlex.priors.conditioning import ConditionEmbedding
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import Draw
from voxlex.priors.embedding import CodeEmbedding
from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.priors.segments import SegmentCache, SegmentTransformer, cells_per_segment
from voxlex.priors.start import start_at_marginals
from voxlex.progress import Progress
from voxlex.types import Codes, Logits


class TransformerPrior(Prior):
    """Autoregressive transformer (Vaswani et al., 1706.03762) over the cells of a grid in raster order.

    p(codes) = Π_cells Π_j p(c_j | all earlier cells, c_1 … c_{j-1} of this cell). What is known of a cell is the sum of
    two parts: a linear map of the codes around it that are known by then, and what a transformer makes of all segments
    of rows up to the cell's own. The first learns within a minute what neighbours say of each other, the second what
    belongs together across the image, on a sequence a few times shorter than the cells are many. Segments have at most
    (kernel_size + 1) / 2 cells, so that what has already been drawn of a segment lies among the neighbours, and no
    earlier cell is out of sight.

    Args:
        num_embeddings: Size K of each codebook.
        grid: Code grid, (h, w) or (d, h, w).
        num_codebooks: Codes q in each cell.
        conditions: What it can be asked for; none for an unconditional prior.
        width: Channels of the transformer; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the square or cube of neighbours, of which the earlier half is seen; odd, at least 3.
        embedding_dim: Size of the vectors that stand for the codes of a cell at the input.
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Raises:
        ValueError: An argument out of its range.
    """

    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        conditions: Conditions | None = None,
        width: int = 128,
        layers: int = 4,
        heads: int = 2,
        kernel_size: int = 7,
        embedding_dim: int = 32,
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
        self.embedding = CodeEmbedding(
            num_embeddings=num_embeddings, num_codebooks=num_codebooks, embedding_dim=embedding_dim
        )
        span = cells_per_segment(self.grid, (kernel_size + 1) // 2)
        self.neighbours, self.segment_neighbours = (
            EarlierNeighbours(
                in_channels=embedding_dim, out_channels=width, grid=self.grid, kernel_size=kernel_size, stride=stride
            )
            for stride in (1, span)
        )
        self.segments = SegmentTransformer(
            grid=self.grid,
            span=span,
            width=width,
            layers=layers,
            heads=heads,
            causal=True,
            dropout=dropout,
        )
        self.conditioning = ConditionEmbedding(self.conditions, width=width, dropout=condition_dropout)
        self.head = DepthHead(width=width, num_embeddings=num_embeddings, num_codebooks=num_codebooks)

    def start(self, codes: Codes, codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Before training, learn the marginals and the likeness of codes; see `start_at_marginals`.

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
        embedded = self.embedding(codes)
        far = self.segments(self.segment_neighbours(embedded), given)
        return (self.neighbours(embedded) + far).unflatten(1, self.grid)

    def _sample(
        self, n: int, condition: Condition | None, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        cells = math.prod(self.grid)
        span = self.segments.span
        cache = SegmentCache(self.segments, self.conditioning(self._resolve_condition(condition, n)))
        # One cell more than there are: neighbours beyond the grid are zeros.
        embedded = self.embedding.weight.new_zeros(n, cells + 1, self.embedding.weight.shape[2])
        codes = torch.empty((n, self.num_codebooks, cells), dtype=torch.int64, device=self.device)
        for cell in range(cells):
            segment, place = divmod(cell, span)
            if place == 0:
                far = cache.push(self.segment_neighbours.at(embedded, segment), segment)
            codes[..., cell] = self.head.draw(self.neighbours.at(embedded, cell) + far[:, place], draw)
            embedded[:, cell] = self.embedding(codes[..., cell])
            if progress is not None and (cell + 1) % self.grid[-1] == 0:
                progress(cell + 1, cells)
        return codes.unflatten(2, self.grid)
