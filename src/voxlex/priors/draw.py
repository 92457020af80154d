"""How a code is chosen from logits, whichever prior gave them."""

import math
from dataclasses import dataclass
from typing import TypedDict

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class SamplingOptions(TypedDict, total=False):
    """How codes are chosen, as `Prior.sample` takes it; what is left out keeps its default."""

    guidance: float
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Chooses codes from logits, at random.

    The temperature comes first; then top-k, top-p and min-p, in this order, each cut the tail of what the one before
    has left. The likeliest code always stays.

    Attributes:
        temperature: Divides the logits; positive. 1 keeps the distribution, towards 0 only the likeliest code is left.
        top_k: Keep this many of the likeliest codes, at least 1; None keeps all.
        top_p: Keep the fewest of the likeliest codes that together have at least this share of the probability, in
            (0, 1] (nucleus sampling, Holtzman et al., 1904.09751, equation 2); None keeps all.
        min_p: Keep codes at least this many times as likely as the likeliest, in [0, 1] (Nguyen et al., 2407.01082);
            None keeps all.
        generator: Source of randomness, on the logits' device; None uses torch's own.

    Raises:
        ValueError: A value out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive and finite, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must lie in [0, 1], not {self.min_p}")

    def __call__(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, "n"]:
        """One code for each row of logits."""
        return torch.multinomial(self.probabilities(logits), 1, generator=self.generator).squeeze(1)

    def probabilities(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """What the codes are drawn from."""
        # The largest logit becomes 0 first, so that however small the temperature nothing overflows to +inf.
        shifted = logits - logits.amax(dim=1, keepdim=True)
        temperature = max(self.temperature, torch.finfo(logits.dtype).tiny)
        probabilities = (shifted / temperature).softmax(dim=1)
        if self.top_k is not None and self.top_k < logits.shape[1]:
            probabilities = _top_k(probabilities, self.top_k)
        # Rounding in the sums would cut a tail even at 1.
        if self.top_p is not None and self.top_p < 1:
            probabilities = _top_p(probabilities, self.top_p)
        if self.min_p is not None:
            probabilities = _min_p(probabilities, self.min_p)
        return probabilities


def _top_k(probabilities: Float[Tensor, "n k"], top_k: int) -> Float[Tensor, "n k"]:
    values, codes = probabilities.topk(top_k, dim=1)
    return _normalised(torch.zeros_like(probabilities).scatter(1, codes, values))


def _top_p(probabilities: Float[Tensor, "n k"], top_p: float) -> Float[Tensor, "n k"]:
    values, codes = probabilities.sort(dim=1, descending=True)
    likelier = values.cumsum(dim=1) - values
    return _normalised(torch.zeros_like(probabilities).scatter(1, codes, values.masked_fill(likelier >= top_p, 0)))


def _min_p(probabilities: Float[Tensor, "n k"], min_p: float) -> Float[Tensor, "n k"]:
    least = min_p * probabilities.amax(dim=1, keepdim=True)
    return _normalised(probabilities.masked_fill(probabilities < least, 0))


def _normalised(weights: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    return weights / weights.sum(dim=1, keepdim=True)
