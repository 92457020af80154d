"""A masked transformer over code grids: it draws many codes at once, in a few steps."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.nn.blocks import convolution
from voxlex.priors.base import LevelPrior
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.draw import Draw
from voxlex.priors.leaving_out import RestoringDraw, blocks_left_out
from voxlex.priors.level import Given, check_network
from voxlex.priors.segments import SegmentTransformer, cells_per_segment
from voxlex.priors.unmasking import (
    Hidden,
    ScoredDraw,
    halton_ranks,
    hide_for_likelihood,
    hide_for_loss,
    left_hidden,
    step_for_loss,
    steps_of,
)
from voxlex.priors.watching import WatchLevel
from voxlex.progress import Progress
from voxlex.types import Codes, GivenCodes, GivenLevels, Logits


class MaskedPrior(LevelPrior):
    """Masked generative transformer (MaskGIT, Chang et al., 2202.04200).

    It is trained to predict hidden codes from the others. To draw an image it begins with all cells hidden, and draws
    them in a few steps. As in `TransformerPrior`, the features of a cell come from the codes around it and from a
    transformer over short segments of rows. There are two orders of the cells:

    - `confidence`: each step draws all hidden cells, keeps those that it is most certain of, and hides the others
      again. The likelihood is not exact. `log_prob` is a lower bound on that of the model that draws one cell at a time
      in a random order: the mean of the log-likelihoods of all orders, which is E_t E_order[D / (D − t + 1) · Σ_hidden
      log p(c | seen)] with t − 1 of the D cells seen (autoregressive diffusion, Hoogeboom et al., 2110.02037, sections
      2 and 3). The estimate has no bias; it takes `likelihood_draws` draws of t and of an order for each image.
      `sample` follows another distribution than this one.
    - `halton`: the cells of each step are fixed, and spread over the grid by a Halton sequence (Besnier et al.,
      2503.17076). It is trained on the masks of these steps alone. `sample` follows p(codes) = Π_steps Π_cells p(c |
      cells of earlier steps), and `log_prob` is the logarithm of it, with one pass for each step. One step predicts all
      codes of a level at once from the coarser levels, as in VAR (Tian et al., 2404.02905); as many steps as cells draw
      one cell after the other.

    Args:
        layout: Layout of the codes, with a grid of two or three axes. The codes of a cell are hidden together, and
            drawn one after the other.
        context: Layouts of the coarser levels that it is given.
        conditions: What it can be asked for; None for an unconditional prior.
        width: Channels of the transformer; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the convolution that shows each cell its neighbours; odd.
        steps: Number of steps in which a sample is drawn, at least 1; no more than there are cells are taken.
        order: Which cells a step draws: "confidence" or "halton".
        dropout: Share of what each block adds that is zeroed in training, in [0, 1).
        condition_dropout: Share of training images of which a condition is hidden, in [0, 1).

    Attributes:
        exact: Whether `log_prob` is the log-likelihood itself, as with the order "halton", or a bound.
        likelihood_draws: Draws of t and an order that the bound takes for each image.
        confidence_noise: Scale of the Gumbel noise on the log-probabilities by which the order "confidence" keeps
            cells; it falls to zero over the steps. Without it, samples are much alike.

    Raises:
        ValueError: If an argument is out of range.
    """

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
        order: Literal["confidence", "halton"] = "confidence",
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        sizes = {"width": width, "layers": layers, "steps": steps}
        check_network(layout, kernel_size=kernel_size, least_kernel_size=1, dropout=dropout, **sizes)
        if order not in ("confidence", "halton"):
            raise ValueError(f"order: expected 'confidence' or 'halton', got {order!r}")
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
        self.order = order
        self.exact = order == "halton"
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
            hidden: The cells, in raster order, that are not seen. None shows each cell those of earlier steps, with
                the order "confidence" none.
        """
        ((_, own, given),) = self._each(codes, condition, context)
        return self._logits(own, given) if hidden is None else self.head(self._seeing(own, given, hidden), own)

    @torch.no_grad()
    def expected_vectors(
        self,
        codes: GivenCodes,
        vectors: Float[Tensor, "k d"],
        *,
        condition: Condition | None = None,
        side: int = 1,
    ) -> Float[Tensor, "b d *grid"]:
        """Return the mean of the vectors of all codes, weighted by their probability given the cells around each cell.

        Args:
            codes: Codes with one code in each cell.
            vectors: What each code stands for.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            side: Side of the blocks of cells that are left out together; see `surprise`.

        Raises:
            ValueError: If there are several codes in each cell, or not one vector for each code.
        """
        if self.layout.num_codebooks > 1 or len(vectors) != self.layout.num_embeddings:
            expected = f"one code in each cell and {self.layout.num_embeddings} vectors"
            raise ValueError(f"expected {expected}, got {self.layout.num_codebooks} and {len(vectors)}")
        ((_, own, given),) = self._each(codes, condition, ())
        means = self.mask.new_zeros(len(own), self.layout.cells, vectors.shape[1])
        for hidden in self._blocks(own, side):
            features = self._seeing(own, given, hidden).flatten(1, -2)[hidden]
            means[hidden] = self.head.expected(features, vectors.to(means))
        return means.transpose(1, 2).unflatten(2, self.layout.grid)

    def _code_log_probs(self, codes: Codes, given: Given) -> Float[Tensor, "b q *grid"]:
        """Return the log-probability of each code given the cells of earlier steps, in nats.

        With the order "confidence", it is an estimate of its mean over all orders of the cells. The sum is then the
        bound on the log-likelihood of an image.
        """
        if self.exact:
            return super()._code_log_probs(codes, given)
        total = torch.zeros(codes.flatten(2).shape, dtype=self.mask.dtype, device=codes.device)
        for hidden in hide_for_likelihood(codes, self.likelihood_draws):
            weight = hidden.shape[1] / hidden.sum(dim=1) / self.likelihood_draws
            scores = self._log_probs_at(hidden, codes, self._seeing(codes, given, hidden))
            total = total + scores * weight[:, None, None]
        return total.view_as(codes)

    def _loss(self, codes: Codes, given: Given) -> Float[Tensor, ""]:
        """Estimate the negative log-likelihood, or its bound, in nats per code, from one mask for each image.

        In eval mode the same codes always get the same masks. Neither estimate has a bias: a step is drawn as often as
        it has cells, which are then scored alone. With the order "confidence", every number of hidden cells is as
        likely as any other, which gives a better bound than MaskGIT's own objective, where most cells of an image are
        hidden.
        """
        repeatable = not self.training
        if self.order == "halton":
            step_of = self._step_of
            step = step_for_loss(codes, step_of, repeatable=repeatable).unsqueeze(1)
            hidden, scored = step_of >= step, step_of == step
        else:
            hidden = scored = hide_for_loss(codes, repeatable=repeatable)
        scores = self._log_probs_at(scored, codes, self._seeing(codes, given, hidden))
        return -(scores.sum(dim=(1, 2)) / (scored.sum(dim=1) * self.layout.num_codebooks)).mean()

    @property
    def _ranks(self) -> Int64[Tensor, "t"]:
        """The rank of each cell in the Halton order."""
        return torch.from_numpy(halton_ranks(self.layout.grid)).to(self.device)

    @property
    def _step_of(self) -> Int64[Tensor, "t"]:
        """The step in which the Halton order draws each cell of a new image."""
        return steps_of(self._ranks, self.steps)

    def _features(self, codes: Codes, given: Given) -> Float[Tensor, "b *grid c"]:
        """Return what is known of each cell from those of earlier steps; with the order "confidence" from none."""
        everything = torch.ones(len(codes), self.layout.cells, dtype=torch.bool, device=codes.device)
        features = self._seeing(codes, given, everything)
        if self.order == "confidence":
            return features
        step_of = self._step_of
        for step in range(1, min(self.steps, self.layout.cells)):
            own = (step_of == step).view(*self.layout.grid, 1)
            features = torch.where(own, self._seeing(codes, given, (step_of >= step).expand_as(everything)), features)
        return features

    def _seeing(self, codes: Codes, given: Given, hidden: Hidden) -> Float[Tensor, "b *grid c"]:
        """Return what is known of each cell from the cells that are not hidden, its own code among them."""
        embedded = self.embedding(codes.flatten(2))
        seen = torch.where(hidden.unsqueeze(2), self.mask, embedded).unflatten(1, self.layout.grid)
        near = self.neighbours(seen.movedim(-1, 1)).flatten(2).transpose(1, 2)
        if given.context is not None:
            near = near + given.context.flatten(1, -2)
        segments = self.to_segments(near.unflatten(1, (-1, self.segments.span)).flatten(2))
        return (near + self.segments(segments, given.condition)).unflatten(1, self.layout.grid)

    def _log_probs_at(
        self, scored: Bool[Tensor, "b t"], codes: Codes, features: Float[Tensor, "b *grid c"]
    ) -> Float[Tensor, "b q t"]:
        """Return the log-probability of the codes of some cells, and zero for the others."""
        scores = self.head.log_probs(features.flatten(1, -2)[scored], codes.flatten(2).transpose(1, 2)[scored])
        filled = scores.new_zeros(*scored.shape, self.layout.num_codebooks)
        filled[scored] = scores
        return filled.transpose(1, 2)

    def _sample(
        self, given: Given, draw: Draw, progress: Progress | None, watch: WatchLevel | None = None
    ) -> Int64[Tensor, "n q *grid"]:
        n, cells = len(given.condition), self.layout.cells
        codes = torch.zeros((n, self.layout.num_codebooks, cells), dtype=torch.int64, device=self.device)
        hidden = torch.ones(n, cells, dtype=torch.bool, device=self.device)
        return self._unmask(codes, hidden, given, draw, progress, watch)

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

    def _surprise(self, codes: Codes, given: Given, side: int) -> Float[Tensor, "b q *grid"]:
        """Return −log p of each code given all cells outside of its block of `side` cells."""
        total = torch.zeros(codes.flatten(2).shape, dtype=self.mask.dtype, device=codes.device)
        for hidden in self._blocks(codes, side):
            total = total - self._log_probs_at(hidden, codes, self._seeing(codes, given, hidden))
        return total.view_as(codes)

    def _restore(
        self, codes: Codes, given: Given, draw: RestoringDraw, side: int, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        """Let `draw` keep or choose the codes of each block, given all cells outside of it as they were."""
        images, restored = len(given.condition), codes.flatten(2).clone()
        for hidden in self._blocks(codes, side):
            places = hidden.nonzero()[:, 1].view(len(codes), -1)
            features = self._seeing(codes[:images], given, hidden[:images]).flatten(1, -2)
            features = features.take_along_dim(places[:images].unsqueeze(2), dim=1)
            # Several restorations of an image see the same; only their draws differ.
            drawn = self.head.draw(features.repeat(len(codes) // images, 1, 1), draw, cells=places)
            restored.scatter_(2, places.unsqueeze(1).expand_as(drawn), drawn)
        return restored.view_as(codes)

    def _blocks(self, codes: Codes, side: int) -> Iterator[Hidden]:
        for hidden in blocks_left_out(self.layout.grid, side):
            yield hidden.to(codes.device).expand(len(codes), -1)

    def _unmask(
        self,
        codes: Int64[Tensor, "n q t"],
        hidden: Hidden,
        given: Given,
        draw: Draw,
        progress: Progress | None,
        watch: WatchLevel | None = None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw the hidden cells, as many in each image, into `codes` in a few steps."""
        cells = int(hidden[0].sum())
        schedule = left_hidden(cells, self.steps)
        for step, left in enumerate(schedule, 1):
            features = self._seeing(codes.unflatten(2, self.layout.grid), given, hidden).flatten(1, -2)
            places = hidden.nonzero()[:, 1].view(len(codes), -1)
            count = places.shape[1] - left
            if self.order == "halton":
                drawn, places = self._draw_next(features, places, count, draw)
            else:
                noise = self.confidence_noise * (1 - step / len(schedule))
                drawn, places = self._draw_surest(features, places, count, draw, noise)
            codes.scatter_(2, places.unsqueeze(1).expand_as(drawn), drawn)
            hidden.scatter_(1, places, False)
            if progress is not None:
                progress(cells - left, cells)
            if watch is not None:
                watch(codes.unflatten(2, self.layout.grid), ~hidden.unflatten(1, self.layout.grid))
        return codes.unflatten(2, self.layout.grid)

    def _draw_next(
        self, features: Float[Tensor, "n t c"], places: Int64[Tensor, "n h"], count: int, draw: Draw
    ) -> tuple[Int64[Tensor, "n q m"], Int64[Tensor, "n m"]]:
        """Draw the first cells of the Halton order among some places; return their codes and their places."""
        places = places.gather(1, self._ranks[places].argsort(dim=1))[:, :count]
        return self.head.draw(features.take_along_dim(places.unsqueeze(2), dim=1), draw, cells=places), places

    def _draw_surest(
        self, features: Float[Tensor, "n t c"], places: Int64[Tensor, "n h"], count: int, draw: Draw, noise: float
    ) -> tuple[Int64[Tensor, "n q m"], Int64[Tensor, "n m"]]:
        """Draw some places and keep the cells of which it is most certain; return their codes and their places."""
        scored = ScoredDraw(draw)
        drawn = self.head.draw(features.take_along_dim(places.unsqueeze(2), dim=1), scored, cells=places)
        sureness = scored.confidence_in(places.shape[1])
        kept = (sureness + noise * draw.noise(sureness)).topk(count, dim=1).indices
        return drawn.take_along_dim(kept.unsqueeze(1), dim=2), places.gather(1, kept)
