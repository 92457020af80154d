"""A masked transformer over code grids: it draws many codes at once, in a few steps."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from voxlex.nn.blocks import convolution
from voxlex.priors.base import Prior
from voxlex.priors.conditioning import ConditionEmbedding
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import Draw
from voxlex.priors.embedding import CodeEmbedding
from voxlex.priors.segments import SegmentTransformer, cells_per_segment
from voxlex.priors.start import start_at_marginals
from voxlex.priors.unmasking import Hidden, confidence, gumbel_noise, hide_for_likelihood, hide_for_loss, left_hidden
from voxlex.progress import Progress
from voxlex.types import Codes, Logits

_DRAWN_AT_ONCE = 1024
"""Cells drawn at a time: with K = 1024 their float32 logits are 4 MiB, about what a core keeps in its cache."""


class MaskedPrior(Prior):
    """Masked generative transformer (MaskGIT, Chang et al., 2202.04200).

    Trained to tell hidden codes from those that are not hidden, it begins with all cells hidden and in each of a few
    steps draws them all, keeps those it is surest of, and hides the others again. Like `TransformerPrior` it sees of a
    cell the codes around it, and what a transformer over short segments of rows makes of the whole image.

    It has no exact likelihood. `log_prob` is a lower bound on that of the model that draws one cell at a time in a
    random order: the mean of the log-likelihoods of all orders, which is E_t E_order[D / (D − t + 1) · Σ_hidden log
    p(c | seen)] with t − 1 of the D cells seen (autoregressive diffusion, Hoogeboom et al., 2110.02037, sections 2 and
    3). It is estimated without bias, from `likelihood_draws` draws of t and an order for each image. `sample`, which
    draws many cells at once and keeps the surest first, follows another distribution than this one.

    Args:
        num_embeddings: Size K of each codebook.
        grid: Code grid, (h, w) or (d, h, w).
        num_codebooks: Codes q in each cell; they are hidden together, and drawn one after the other.
        conditions: What it can be asked for; none for an unconditional prior.
        width: Channels of the transformer; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the convolution that shows each cell its neighbours; odd.
        steps: In which a sample is drawn, at least 1.
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Attributes:
        exact: False: `log_prob` is a bound.
        likelihood_draws: Draws of t and an order that `log_prob` takes for each image.
        confidence_noise: Scale of the Gumbel noise on the log-probabilities by which cells are kept; it falls to
            zero over the steps. Without it, samples are much alike.

    Raises:
        ValueError: An argument out of its range.
    """

    exact = False
    likelihood_draws = 4
    confidence_noise = 4.5
    embedding_dim = 32
    longest_segment = 4

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
        kernel_size: int = 5,
        steps: int = 12,
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
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        if min(width, layers) < 1:
            raise ValueError(f"width and layers must be positive, not {width} and {layers}")
        self.steps = steps
        self.embedding = CodeEmbedding(
            num_embeddings=num_embeddings, num_codebooks=num_codebooks, embedding_dim=self.embedding_dim
        )
        self.mask = nn.Parameter(torch.zeros(self.embedding_dim))
        self.neighbours = convolution(len(self.grid), self.embedding_dim, width, kernel_size)
        span = cells_per_segment(self.grid, self.longest_segment)
        self.to_segments = nn.Linear(span * width, width)
        self.segments = SegmentTransformer(
            grid=self.grid,
            span=span,
            width=width,
            layers=layers,
            heads=heads,
            causal=False,
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

    def forward(self, codes: Codes, condition: Condition | None = None, hidden: Hidden | None = None) -> Logits:
        """Logits of every code given the cells that are not hidden, and the earlier codes of its own cell.

        Args:
            codes: Codes in [0, K) on this prior's grid.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            hidden: The cells, in raster order, that are not seen; None hides all.
        """
        self._check_codes(codes)
        if hidden is None:
            hidden = torch.ones(len(codes), math.prod(self.grid), dtype=torch.bool, device=codes.device)
        features = self._features(codes, hidden, self.conditioning(self._resolve_condition(condition, len(codes))))
        return self.head(features.unflatten(1, self.grid), codes)

    def code_log_probs(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, "b q *grid"]:
        """Estimate of the mean log-probability of each code over all orders of the cells, in nats.

        Its sum is the bound on the log-likelihood of an image.
        """
        self._check_codes(codes)
        given = self.conditioning(self._resolve_condition(condition, len(codes)))
        total = torch.zeros(codes.flatten(2).shape, dtype=self.mask.dtype, device=codes.device)
        for hidden in hide_for_likelihood(codes, self.likelihood_draws):
            weight = hidden.shape[1] / hidden.sum(dim=1) / self.likelihood_draws
            total = total + self._hidden_log_probs(codes, hidden, given) * weight[:, None, None]
        return total.view_as(codes)

    def loss(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, ""]:
        """Estimate of the negative bound in nats per code, from one draw of hidden cells for each image.

        In eval mode the draws are always the same for the same codes. Trained on every number of hidden cells alike,
        the bound is better than with MaskGIT's own objective, which dwells on images of which little is seen.
        """
        self._check_codes(codes)
        hidden = hide_for_loss(codes, repeatable=not self.training)
        scores = self._hidden_log_probs(
            codes, hidden, self.conditioning(self._resolve_condition(condition, len(codes)))
        )
        return -(scores.sum(dim=(1, 2)) / (hidden.sum(dim=1) * self.num_codebooks)).mean()

    def _features(self, codes: Codes, hidden: Hidden, given: Float[Tensor, "b g"]) -> Float[Tensor, "b t c"]:
        """What is known of each cell from those that are not hidden, itself among them."""
        embedded = self.embedding(codes.flatten(2))
        seen = torch.where(hidden.unsqueeze(2), self.mask, embedded).unflatten(1, self.grid)
        near = self.neighbours(seen.movedim(-1, 1)).flatten(2).transpose(1, 2)
        segments = self.to_segments(near.unflatten(1, (-1, self.segments.span)).flatten(2))
        return near + self.segments(segments, given)

    def _hidden_log_probs(self, codes: Codes, hidden: Hidden, given: Float[Tensor, "b g"]) -> Float[Tensor, "b q t"]:
        """Log-probability of each hidden code, and zero for the others."""
        features = self._features(codes, hidden, given)
        scores = self.head.log_probs(features[hidden], codes.flatten(2).transpose(1, 2)[hidden])
        filled = scores.new_zeros(*hidden.shape, self.num_codebooks)
        filled[hidden] = scores
        return filled.transpose(1, 2)

    def _sample(
        self, n: int, condition: Condition | None, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        cells = math.prod(self.grid)
        codes = torch.zeros((n, self.num_codebooks, cells), dtype=torch.int64, device=self.device)
        hidden = torch.ones(n, cells, dtype=torch.bool, device=self.device)
        return self._unmask(codes, hidden, condition, draw, progress)

    def _complete(
        self,
        codes: Int64[Tensor, "q *grid"],
        hidden: Bool[Tensor, "*grid"],
        n: int,
        candidates: int,
        condition: Condition | None,
        draw: Draw,
        progress: Progress | None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Begin with the known cells in sight; as it sees all of them, there is nothing to choose among candidates."""
        rows = None if condition is None else condition.expand(n, -1)
        known = codes.flatten(1).expand(n, -1, -1).clone()
        return self._unmask(known, hidden.flatten().expand(n, -1).clone(), rows, draw, progress)

    def _unmask(
        self,
        codes: Int64[Tensor, "n q t"],
        hidden: Hidden,
        condition: Condition | None,
        draw: Draw,
        progress: Progress | None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw the hidden cells, as many in each image, into `codes` in a few steps."""
        given = self.conditioning(self._resolve_condition(condition, len(codes)))
        cells = int(hidden[0].sum())
        schedule = left_hidden(cells, self.steps)
        for step, left in enumerate(schedule, 1):
            places = hidden.nonzero()[:, 1].view(len(codes), -1)
            features = self._features(codes.unflatten(2, self.grid), hidden, given)
            drawn, sureness = self._draw(features.take_along_dim(places.unsqueeze(2), dim=1), draw)
            sureness = sureness + self.confidence_noise * (1 - step / len(schedule)) * gumbel_noise(sureness, draw)
            kept = sureness.topk(places.shape[1] - left, dim=1).indices
            places = places.gather(1, kept)
            chosen = drawn.take_along_dim(kept.unsqueeze(1), dim=2)
            codes.scatter_(2, places.unsqueeze(1).expand_as(chosen), chosen)
            hidden.scatter_(1, places, False)
            if progress is not None:
                progress(cells - left, cells)
        return codes.unflatten(2, self.grid)

    def _draw(
        self, features: Float[Tensor, "n m c"], draw: Draw
    ) -> tuple[Int64[Tensor, "n q m"], Float[Tensor, "n m"]]:
        """Codes of cells, and the log-probability of each cell's codes together."""
        drawn, sureness = [], []
        for some in features.split(max(1, _DRAWN_AT_ONCE // len(features)), dim=1):
            scores: list[Tensor] = []

            def choose(logits: Tensor, scores: list[Tensor] = scores) -> Tensor:
                codes = draw(logits)
                scores.append(confidence(logits, codes, draw))
                return codes

            codes = self.head.draw(some.flatten(0, 1), choose)
            drawn.append(codes.unflatten(0, some.shape[:2]).transpose(1, 2))
            sureness.append(torch.stack(scores).sum(dim=0).view(some.shape[:2]))
        return torch.cat(drawn, dim=2), torch.cat(sureness, dim=1)
