"""How a code is chosen from logits, whichever prior gave them."""

import math
from dataclasses import dataclass
from typing import TypedDict

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional


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
        return _drawn(self.probabilities(logits), self.generator)

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


def _drawn(probabilities: Float[Tensor, "n k"], generator: torch.Generator | None) -> Int64[Tensor, "n"]:
    """One code for each row: first one of about √K blocks of codes, then one in it, each by its cumulated probability.

    That takes two random numbers, where a race of exponential clocks takes one a code; and short sums hardly round.
    """
    codes = probabilities.shape[1]
    side = math.isqrt(codes - 1) + 1
    blocks = functional.pad(probabilities, (0, side**2 - codes)).unflatten(1, (side, side))
    block = _inverse_cumulated(blocks.sum(dim=2), generator)
    place = _inverse_cumulated(blocks[torch.arange(len(blocks), device=blocks.device), block], generator)
    return block * side + place


def _inverse_cumulated(weights: Float[Tensor, "n k"], generator: torch.Generator | None) -> Int64[Tensor, "n"]:
    precision = torch.float32 if weights.device.type == "mps" else torch.float64
    cumulated = weights.cumsum(dim=1, dtype=precision)
    share = torch.rand(len(weights), 1, dtype=precision, device=weights.device, generator=generator)
    # Below 1 even after rounding: what lies beyond the last code that has any weight is never drawn.
    share = share * (1 - torch.finfo(precision).eps)
    return torch.searchsorted(cumulated, share * cumulated[:, -1:], right=True).squeeze(1)


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
