"""A masked transformer over code grids: it draws many codes at once, in a few steps."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.nn.blocks import convolution
from voxlex.priors.base import LevelPrior
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.draw import Draw
from voxlex.priors.level import Given, check_network
from voxlex.priors.segments import SegmentTransformer, cells_per_segment
from voxlex.priors.unmasking import Hidden, ScoredDraw, hide_for_likelihood, hide_for_loss, left_hidden
from voxlex.progress import Progress
from voxlex.types import Codes, GivenCodes, GivenLevels, Logits


class MaskedPrior(LevelPrior):
    """Masked generative transformer (MaskGIT, Chang et al., 2202.04200).

    It is trained to predict hidden codes from the others. To draw an image it begins with all cells hidden. In each of
    a few steps it draws all hidden cells, keeps those that it is most certain of, and hides the others again. As in
    `TransformerPrior`, the features of a cell come from the codes around it and from a transformer over short segments
    of rows.

    It does not have an exact likelihood. `log_prob` is a lower bound on that of the model that draws one cell at a time
    in a random order: the mean of the log-likelihoods of all orders, which is E_t E_order[D / (D − t + 1) · Σ_hidden
    log p(c | seen)] with t − 1 of the D cells seen (autoregressive diffusion, Hoogeboom et al., 2110.02037, sections 2
    and 3). The estimate has no bias; it takes `likelihood_draws` draws of t and of an order for each image. `sample`
    draws many cells at once and keeps the most certain first, so it follows another distribution than this one.

    Args:
        layout: Layout of the codes, with a grid of two or three axes. The codes of a cell are hidden together, and
            drawn one after the other.
        context: Layouts of the coarser levels that it is given.
        conditions: What it can be asked for; None for an unconditional prior.
        width: Channels of the transformer; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the convolution that shows each cell its neighbours; odd.
        steps: Number of steps in which a sample is drawn, at least 1.
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Attributes:
        exact: False: `log_prob` is a bound.
        likelihood_draws: Draws of t and an order that `log_prob` takes for each image.
        confidence_noise: Scale of the Gumbel noise on the log-probabilities by which cells are kept; it falls to
            zero over the steps. Without it, samples are much alike.

    Raises:
        ValueError: If an argument is out of range.
    """

    exact = False
    sees_all_known = True
    likelihood_draws = 4
    confidence_noise = 4.5
    embedding_dim = 32
    longest_segment = 4

    neighbours: nn.Conv2d | nn.Conv3d
    to_segments: nn.Linear
    segments: SegmentTransformer

    def __init__(
        self,
        *,
        layout: CodeLayout,
        context: Sequence[CodeLayout] = (),
        conditions: Conditions | None = None,
        width: int = 128,
        layers: int = 4,
        heads: int = 2,
        kernel_size: int = 5,
        steps: int = 12,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        sizes = {"width": width, "layers": layers, "steps": steps}
        check_network(layout, kernel_size=kernel_size, least_kernel_size=1, dropout=dropout, **sizes)
        grid, span = layout.grid, cells_per_segment(layout.grid, self.longest_segment)
        super().__init__(
            layout=layout,
            context=context,
            conditions=conditions,
            width=width,
            embedding_dim=self.embedding_dim,
            condition_dropout=condition_dropout,
            network={
                "neighbours": convolution(len(grid), self.embedding_dim, width, kernel_size),
                "to_segments": nn.Linear(span * width, width),
                "segments": SegmentTransformer(
                    grid=grid, span=span, width=width, layers=layers, heads=heads, causal=False, dropout=dropout
                ),
            },
        )
        self.steps = steps
        self.mask = nn.Parameter(torch.zeros(self.embedding_dim))

    def forward(
        self,
        codes: GivenCodes | GivenLevels,
        condition: Condition | None = None,
        context: GivenLevels = (),
        *,
        hidden: Hidden | None = None,
    ) -> Logits:
        """Return the logits of every code given the cells that are not hidden, and the earlier codes of its own cell.

        Args:
            codes: Codes in [0, K) of this prior's layout.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            context: Codes of the coarser levels.
            hidden: The cells, in raster order, that are not seen; None hides all.
        """
        ((_, own, given),) = self._each(codes, condition, context)
        return self.head(self._features(own, given, hidden), own)

    def _code_log_probs(self, codes: Codes, given: Given) -> Float[Tensor, "b q *grid"]:
        """Estimate the mean log-probability of each code over all orders of the cells, in nats.

        Its sum is the bound on the log-likelihood of an image.
        """
        total = torch.zeros(codes.flatten(2).shape, dtype=self.mask.dtype, device=codes.device)
        for hidden in hide_for_likelihood(codes, self.likelihood_draws):
            weight = hidden.shape[1] / hidden.sum(dim=1) / self.likelihood_draws
            total = total + self._hidden_log_probs(codes, given, hidden) * weight[:, None, None]
        return total.view_as(codes)

    def _loss(self, codes: Codes, given: Given) -> Float[Tensor, ""]:
        """Estimate the negative bound in nats per code, from one draw of hidden cells for each image.

        In eval mode the same codes always get the same draws. Every number of hidden cells is as likely as any other,
        which gives a better bound than MaskGIT's own objective, where most cells of an image are hidden.
        """
        hidden = hide_for_loss(codes, repeatable=not self.training)
        scores = self._hidden_log_probs(codes, given, hidden)
        return -(scores.sum(dim=(1, 2)) / (hidden.sum(dim=1) * self.layout.num_codebooks)).mean()

    def _features(self, codes: Codes, given: Given, hidden: Hidden | None = None) -> Float[Tensor, "b *grid c"]:
        """Return what is known of each cell from the cells that are not hidden, its own code among them."""
        if hidden is None:
            hidden = torch.ones(len(codes), self.layout.cells, dtype=torch.bool, device=codes.device)
        embedded = self.embedding(codes.flatten(2))
        seen = torch.where(hidden.unsqueeze(2), self.mask, embedded).unflatten(1, self.layout.grid)
        near = self.neighbours(seen.movedim(-1, 1)).flatten(2).transpose(1, 2)
        if given.context is not None:
            near = near + given.context.flatten(1, -2)
        segments = self.to_segments(near.unflatten(1, (-1, self.segments.span)).flatten(2))
        return (near + self.segments(segments, given.condition)).unflatten(1, self.layout.grid)

    def _hidden_log_probs(self, codes: Codes, given: Given, hidden: Hidden) -> Float[Tensor, "b q t"]:
        """Return the log-probability of each hidden code, and zero for the others."""
        features = self._features(codes, given, hidden).flatten(1, -2)
        scores = self.head.log_probs(features[hidden], codes.flatten(2).transpose(1, 2)[hidden])
        filled = scores.new_zeros(*hidden.shape, self.layout.num_codebooks)
        filled[hidden] = scores
        return filled.transpose(1, 2)

    def _sample(self, given: Given, draw: Draw, progress: Progress | None) -> Int64[Tensor, "n q *grid"]:
        n, cells = len(given.condition), self.layout.cells
        codes = torch.zeros((n, self.layout.num_codebooks, cells), dtype=torch.int64, device=self.device)
        hidden = torch.ones(n, cells, dtype=torch.bool, device=self.device)
        return self._unmask(codes, hidden, given, draw, progress)

    def _complete(
        self,
        codes: Int64[Tensor, "q *grid"],
        hidden: Bool[Tensor, "*grid"],
        given: Given,
        draw: Draw,
        progress: Progress | None,
    ) -> tuple[Int64[Tensor, "n q *grid"], Float[Tensor, "n"]]:
        """Draw the hidden cells with all known ones in sight, which leaves nothing to choose among candidates."""
        n = len(given.condition)
        known = codes.flatten(1).expand(n, -1, -1).clone()
        drawn = self._unmask(known, hidden.flatten().expand(n, -1).clone(), given, draw, progress)
        return drawn, given.condition.new_zeros(n)

    def _unmask(
        self, codes: Int64[Tensor, "n q t"], hidden: Hidden, given: Given, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw the hidden cells, as many in each image, into `codes` in a few steps."""
        cells = int(hidden[0].sum())
        schedule = left_hidden(cells, self.steps)
        for step, left in enumerate(schedule, 1):
            places = hidden.nonzero()[:, 1].view(len(codes), -1)
            features = self._features(codes.unflatten(2, self.layout.grid), given, hidden).flatten(1, -2)
            drawn, sureness = self._draw(features.take_along_dim(places.unsqueeze(2), dim=1), draw, places)
            sureness = sureness + self.confidence_noise * (1 - step / len(schedule)) * draw.noise(sureness)
            kept = sureness.topk(places.shape[1] - left, dim=1).indices
            places = places.gather(1, kept)
            chosen = drawn.take_along_dim(kept.unsqueeze(1), dim=2)
            codes.scatter_(2, places.unsqueeze(1).expand_as(chosen), chosen)
            hidden.scatter_(1, places, False)
            if progress is not None:
                progress(cells - left, cells)
        return codes.unflatten(2, self.layout.grid)

    def _draw(
        self, features: Float[Tensor, "n m c"], draw: Draw, cells: Int64[Tensor, "n m"]
    ) -> tuple[Int64[Tensor, "n q m"], Float[Tensor, "n m"]]:
        """Return codes of cells, and the confidence in each cell's codes together."""
        scored = ScoredDraw(draw)
        codes = self.head.draw(features, scored, cells=cells)
        return codes, scored.confidence_in(cells.shape[1])
