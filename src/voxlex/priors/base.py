"""The contract of every prior: score the codes of an image, and draw the codes of a new one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.errors import CodesError
from voxlex.priors.completion import CompletingDraw
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.draw import Draw
from voxlex.priors.guidance import GuidedDraw
from voxlex.progress import Progress
from voxlex.types import Codes, Logits


class Prior(nn.Module, ABC):
    """A probability distribution p(codes | condition) over code grids, with exact likelihood and sampling.

    It is the generative component of the VQ-VAE (van den Oord et al., 1711.00937, section 3.3): trained on the codes of
    a frozen autoencoder, its samples are decoded into new images. A subclass gives `forward`, the conditionals, and
    `_sample`, which must draw from those very conditionals.

    Attributes:
        num_embeddings: Size K of each codebook; codes lie in [0, K).
        num_codebooks: Codes q in each cell.
        grid: Cells along each axis of the code grid it was made for: (h, w), or (d, h, w) for volumes.
        conditions: What it can be asked for; none for an unconditional prior.
        dropout: Share of what each layer adds that is zeroed in training, in [0, 1); a subclass builds it in.
        condition_dropout: Share of training images, in [0, 1), of which a condition is hidden, so that a conditional
            prior also learns the distribution given only some of them, or none.
        exact: Whether `log_prob` is the log-likelihood itself, or a lower bound of it.
    """

    exact: ClassVar[bool] = True

    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        conditions: Conditions | None = None,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if num_embeddings < 1 or num_codebooks < 1:
            raise ValueError(
                f"a prior needs num_embeddings >= 1 and num_codebooks >= 1, not {num_embeddings} and {num_codebooks}"
            )
        if not grid or min(grid) < 1:
            raise ValueError(f"grid must have at least one axis and one cell along each, not {tuple(grid)}")
        for name, share in (("dropout", dropout), ("condition_dropout", condition_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must lie in [0, 1), not {share}")
        self.num_embeddings = num_embeddings
        self.num_codebooks = num_codebooks
        self.grid = tuple(grid)
        self.conditions = conditions or Conditions()
        self.dropout = dropout
        self.condition_dropout = condition_dropout

    def start(self, codes: Codes, codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Take what can be known before training from the training codes and the codebook's vectors; here, nothing."""

    @abstractmethod
    def forward(self, codes: Codes, condition: Condition | None = None) -> Logits:
        """Teacher-forced logits: those of a cell depend on the true codes of the cells before it, never on its own.

        Args:
            codes: Codes in [0, K) on this prior's grid.
            condition: What is known of each image, encoded by `conditions`, NaN where it is not known; None means
                that nothing is.

        Raises:
            CodesError: The codes are out of range, or not of this prior's grid.
            ValueError: The condition does not fit `conditions`.
        """

    @abstractmethod
    def _sample(
        self, n: int, condition: Condition | None, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw `n` code grids cell by cell, each code chosen by `draw` from the logits that `forward` would give it."""

    def code_log_probs(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, "b q *grid"]:
        """Log-probability of each code given the codes before it, in nats: where an image is surprising."""
        log_probs = self(codes, condition).float().log_softmax(dim=1)
        return log_probs.gather(1, codes.unsqueeze(1)).squeeze(1)

    def log_prob(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, "b"]:
        """Log-likelihood log p(codes | condition) of each image, in nats; a lower bound unless `exact`."""
        return self.code_log_probs(codes, condition).flatten(1).sum(dim=1)

    def loss(self, codes: Codes, condition: Condition | None = None) -> Float[Tensor, ""]:
        """Mean negative log-likelihood in nats per code, over every code of every image; divide by ln 2 for bits."""
        return -self.code_log_probs(codes, condition).mean()

    def sample(
        self,
        n: int,
        *,
        condition: Condition | None = None,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw new code grids; the same generator state gives the same codes on the same machine.

        `temperature`, `top_k`, `top_p` and `min_p` work as `Draw` says, in this order.

        Args:
            n: How many, at least 1.
            condition: What is wanted of each, encoded by `conditions`, NaN where any will do; None means everywhere.
            guidance: How far to go from the distribution of all images (0) to that of the condition (1), and beyond
                it. Other than 1 it doubles the work, and needs a condition and a prior that was trained with some
                conditions hidden.
            temperature: Divides the logits: 1 samples the prior itself, towards 0 takes the likeliest code each time.
            top_k: Draw each code from this many of the likeliest.
            top_p: Draw each code from the fewest that together have this share of the probability, in (0, 1].
            min_p: Draw each code from those at least this many times as likely as the likeliest, in [0, 1].
            generator: Source of randomness, on this prior's device; None uses torch's own.
            progress: Called with the number of cells drawn so far and the number there are.

        Raises:
            ValueError: A value is out of range, or the condition does not fit.
        """
        if n < 1:
            raise ValueError(f"the number of samples must be at least 1, not {n}")
        draw = Draw(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, generator=generator)
        rows = n
        if guidance != 1:
            draw = GuidedDraw(guidance=guidance, **vars(draw))
            rows, condition = 2 * n, self._with_and_without(condition, n)
        with self._drawing():
            codes = self._sample(rows, condition, draw, progress)
        # Tensors of inference mode cannot be scored with gradients; a clone can.
        return codes[:n].clone()

    def complete(
        self,
        codes: Int64[Tensor, "q *grid"],
        hidden: Shaped[Tensor, "*grid"],
        *,
        n: int = 1,
        condition: Condition | None = None,
        temperature: float = 1.0,
        candidates: int = 8,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw the hidden cells of an image anew, given the others.

        An autoregressive prior sees only what comes before a cell. So for each result it draws several candidates, and
        one of them is chosen with the probability that its cells give to the known cells after them: sampling and
        importance resampling (Rubin, 1988), exact as the number of candidates grows. A masked prior sees all that is
        known, and needs none.

        Args:
            codes: Of the image; those of hidden cells do not matter, but lie in [0, K).
            hidden: Cells to draw, at least one: true, or any number but 0.
            n: How many times, each on its own.
            condition: One row, for this image.
            temperature: Divides the logits.
            candidates: For each result, at least 1.
            generator: Source of randomness, on this prior's device; None uses torch's own.
            progress: Called with the number of cells drawn so far and the number there are.

        Raises:
            CodesError: The codes are out of range, or not of this prior's grid.
            ValueError: A value is out of range, or the mask has another shape or hides nothing.
        """
        self._check_codes(codes.unsqueeze(0))
        hidden = hidden.bool()
        if hidden.shape != self.grid or not hidden.any():
            found = f"{tuple(hidden.shape)}, {int(hidden.sum())} hidden"
            raise ValueError(f"hidden: expected a mask {self.grid} that hides a cell or more, got {found}")
        if min(n, candidates) < 1:
            raise ValueError(f"n and candidates must be at least 1, not {n} and {candidates}")
        draw = Draw(temperature=temperature, generator=generator)
        with self._drawing():
            drawn = self._complete(
                codes.to(self.device), hidden.to(self.device), n, candidates, condition, draw, progress
            )
        return drawn.clone()

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
        """Draw candidates in raster order and choose among them; priors of another order do better."""
        completing = CompletingDraw(
            **vars(draw),
            known=codes.movedim(0, -1).flatten(),
            hidden=hidden.flatten().repeat_interleave(self.num_codebooks),
        )
        rows = n * candidates
        drawn = self._sample(rows, None if condition is None else condition.expand(rows, -1), completing, progress)
        if not completing.evidence:
            return drawn[::candidates]
        weights = torch.stack(completing.evidence).sum(dim=0).view(n, candidates).softmax(dim=1)
        chosen = torch.multinomial(weights, 1, generator=draw.generator).squeeze(1)
        return drawn[torch.arange(n, device=self.device) * candidates + chosen]

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Eval mode without gradients; autocast would round the conditionals, and samples would not be as scored."""
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            self.train(was_training)

    @property
    def layouts(self) -> tuple[CodeLayout, ...]:
        """How the codes lie: the layout of each level, coarsest first."""
        return (CodeLayout(num_embeddings=self.num_embeddings, num_codebooks=self.num_codebooks, grid=self.grid),)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where samples are drawn."""
        return next(self.parameters()).device

    def _check_codes(self, codes: Tensor) -> None:
        """Refuse codes that this prior cannot have seen."""
        expected = (self.num_codebooks, *self.grid)
        if tuple(codes.shape[1:]) != expected:
            shape = ", ".join(map(str, expected))
            raise CodesError(f"expected codes of shape (b, q, *grid) = (b, {shape}), got {tuple(codes.shape)}")
        if codes.dtype != torch.int64:
            raise CodesError(f"expected int64 codes, got {codes.dtype}")
        if not len(codes):
            raise CodesError("expected the codes of at least one image, got none")
        low, high = (int(extreme) for extreme in codes.aminmax())
        if low < 0 or high >= self.num_embeddings:
            raise CodesError(f"expected codes in [0, {self.num_embeddings}), got {low} to {high}")

    def _resolve_condition(self, condition: Condition | None, n: int) -> Condition:
        """The condition of each image, checked and on this prior's device; all unknown if there is none."""
        if condition is None:
            return torch.full((n, len(self.conditions.columns)), math.nan, device=self.device)
        self.conditions.check(condition, n)
        return condition.to(self.device)

    def _with_and_without(self, condition: Condition | None, n: int) -> Condition:
        """Every image under its condition, then every image under none, for guidance."""
        condition = self._resolve_condition(condition, n)
        if not self.conditions.columns:
            raise ValueError("guidance needs a conditional prior; this one has no conditions")
        if bool(condition.isnan().all(dim=1).any()):
            raise ValueError("guidance needs a condition for every image, but of some nothing is known")
        return torch.cat([condition, torch.full_like(condition, math.nan)])
