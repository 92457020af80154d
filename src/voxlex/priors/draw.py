"""How a code is chosen from logits, whichever prior gave them."""

import math
from dataclasses import dataclass
from typing import Protocol, TypedDict, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from voxlex.streams import Randomness, uniform

Cells = int | Int64[Tensor, "n *m"]
"""Cells of the code grid by their number in raster order: one for all rows, or one for each."""


class SamplingOptions(TypedDict, total=False):
    """How codes are chosen, as `Prior.sample` takes it; what is left out keeps its default."""

    guidance: float
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None


@runtime_checkable
class Draw(Protocol):
    """Chooses codes from the logits that a prior offers.

    A prior draws images by asking its `Draw` for one code after the other. Any `Draw` fits any prior: one that chooses
    at random makes a sampler, one that knows the codes already and notes their probabilities makes an encoder, and one
    that reads codes from a bit stream makes a decoder. A subclass needs to give `__call__` alone.
    """

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return one code for each row of logits.

        Args:
            logits: Unnormalised log-probabilities of the K codes; the first axis is that of the images.
            codebook: The codebook that the codes belong to, in [0, q).
            cells: The cells that the codes belong to.
        """
        ...

    def confidence(self, logits: Float[Tensor, "n *m k"], codes: Int64[Tensor, "n *m"]) -> Float[Tensor, "n *m"]:
        """Return the log-probability, in nats, of codes that were chosen from these logits.

        A masked prior keeps the cells with the highest.
        """
        return log_probs_of(logits, codes)

    def noise(self, like: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Return the noise that a masked prior adds to the confidence of each cell; zeros unless a subclass says so."""
        return torch.zeros_like(like)


@dataclass(frozen=True, kw_only=True)
class RandomDraw(Draw):
    """Chooses codes at random.

    The temperature is applied first. Then top-k, top-p and min-p, in this order, each cut the tail of what the one
    before has left. The likeliest code always stays.

    Attributes:
        temperature: Divides the logits; positive. 1 keeps the distribution, towards 0 only the likeliest code is left.
        top_k: Keep this many of the likeliest codes, at least 1; None keeps all.
        top_p: Keep the fewest of the likeliest codes that together have at least this share of the probability, in
            (0, 1] (nucleus sampling, Holtzman et al., 1904.09751, equation 2); None keeps all.
        min_p: Keep codes at least this many times as likely as the likeliest, in [0, 1] (Nguyen et al., 2407.01082);
            None keeps all.
        generator: Source of randomness: a stream for each image, or a generator on the logits' device; None uses
            torch's own.

    Raises:
        ValueError: If a value is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    generator: Randomness = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature: expected a positive finite number, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected a share in (0, 1], got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p: expected a share in [0, 1], got {self.min_p}")

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Draw one code for each row of logits."""
        probabilities = self.probabilities(logits.flatten(0, -2))
        shares = uniform(len(logits), 2 * (len(probabilities) // len(logits)), self.generator, device=logits.device)
        return drawn(probabilities, shares.reshape(-1, 2)).view(logits.shape[:-1])

    def noise(self, like: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Draw standard Gumbel noise."""
        share = uniform(len(like), like.shape[1], self.generator, device=like.device)
        exponential = -torch.log1p(-share)
        return -exponential.clamp(min=torch.finfo(share.dtype).tiny).log().to(like.dtype)

    def probabilities(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Return the probabilities with which codes are drawn."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
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


class GuidedDraw(Draw):
    """Classifier-free guidance: makes codes more typical of their condition than the prior's own.

    The batch holds every image twice, first all under their conditions, then all under none. The inner draw chooses
    from l = l_none + guidance · (l_condition - l_none) (Ho and Salimans, 2207.12598, equation 6; for codes Sanchez et
    al., 2306.17806), and both rows of an image get the code that it chooses.

    Args:
        inner: Chooses the codes of each image.
        guidance: 0 ignores the condition, 1 is the conditional distribution, more goes beyond it.

    Raises:
        ValueError: If the guidance is negative or not finite.
    """

    def __init__(self, inner: Draw, *, guidance: float) -> None:
        if not (guidance >= 0 and math.isfinite(guidance)):
            raise ValueError(f"guidance: expected a finite number of at least 0, got {guidance}")
        self.inner = inner
        self.guidance = guidance

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return one code for each image, given to both of its rows."""
        own = cells if isinstance(cells, int) else cells[: len(cells) // 2]
        return _twice(self.inner(self.guided(logits), codebook=codebook, cells=own))

    def confidence(self, logits: Float[Tensor, "n *m k"], codes: Int64[Tensor, "n *m"]) -> Float[Tensor, "n *m"]:
        """Return the log-probability of each image's codes under its guided logits, for both of its rows."""
        return _twice(self.inner.confidence(self.guided(logits), codes[: len(codes) // 2]))

    def noise(self, like: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Return the same noise for both rows of an image, so that both keep the same cells."""
        return _twice(self.inner.noise(like[: len(like) // 2]))

    def guided(self, logits: Float[Tensor, "n *m k"]) -> Float[Tensor, "_ *m k"]:
        """Return the logits of each image, from those of its two rows."""
        conditional, unconditional = logits.chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)


class CompletingDraw(Draw):
    """Lets an inner draw choose the hidden codes, gives the known ones, and notes how likely those were.

    Args:
        inner: Chooses the hidden codes.
        known: Codes of the image; those of hidden cells do not matter.
        hidden: The cells to draw.

    Attributes:
        evidence: Log-probability, in nats, that each row has given to the known codes so far. It is the weight of a row
            in importance sampling from the distribution of the hidden codes given all known ones.
    """

    def __init__(self, inner: Draw, *, known: Int64[Tensor, "q *grid"], hidden: Bool[Tensor, "*grid"]) -> None:
        self.inner = inner
        self.known = known.flatten(1)
        self.hidden = hidden.flatten()
        self.evidence = torch.zeros((), device=known.device)

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return one code for each row of logits."""
        hidden = self.hidden[cells]
        if hidden.all():
            return self.inner(logits, codebook=codebook, cells=cells)
        known = self.known[codebook, cells].expand(logits.shape[:-1])
        fits = log_probs_of(logits, known).masked_fill(hidden, 0)
        self.evidence = self.evidence + fits.view(len(fits), -1).sum(dim=1)
        if not hidden.any():
            return known
        return torch.where(hidden, self.inner(logits, codebook=codebook, cells=cells), known)

    def confidence(self, logits: Float[Tensor, "n *m k"], codes: Int64[Tensor, "n *m"]) -> Float[Tensor, "n *m"]:
        """Return the inner draw's confidence."""
        return self.inner.confidence(logits, codes)

    def noise(self, like: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Return the inner draw's noise."""
        return self.inner.noise(like)


def log_probs_of(logits: Float[Tensor, "n *m k"], codes: Int64[Tensor, "n *m"]) -> Float[Tensor, "n *m"]:
    """Return the log-probability of each code, in nats and at least float32, without making those of all others."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.gather(-1, codes.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(dim=-1)


def resampled(log_weights: Float[Tensor, "n c"], count: int, generator: Randomness) -> Int64[Tensor, " m"]:
    """Choose among candidates by their weights, with replacement.

    Args:
        log_weights: Of the c candidates of each of n results, up to a constant for each result.
        count: How many to choose for each result.
        generator: Source of randomness: a stream for each result, or a generator on the weights' device.

    Returns:
        Rows of the chosen among all n · c candidates, `count` for each result.
    """
    n, candidates = log_weights.shape
    if candidates == 1:
        return torch.arange(n, device=log_weights.device).repeat_interleave(count)
    weights = log_weights.softmax(dim=1).repeat_interleave(count, dim=0)
    first = candidates * torch.arange(n, device=log_weights.device).repeat_interleave(count)
    return first + drawn(weights, uniform(n, 2 * count, generator, device=weights.device).reshape(-1, 2))


def drawn(probabilities: Float[Tensor, "n k"], shares: Float[Tensor, "n 2"]) -> Int64[Tensor, "n"]:
    """Draw one code for each row: one of about √K blocks of codes first, then one in it, by cumulated probability.

    This takes two random numbers in [0, 1) for each row, where `torch.multinomial` takes one for each code, and short
    sums hardly round.
    """
    codes = probabilities.shape[1]
    side = math.isqrt(codes - 1) + 1
    blocks = functional.pad(probabilities, (0, side**2 - codes)).unflatten(1, (side, side))
    block = _inverse_cumulated(blocks.sum(dim=2), shares[:, :1])
    place = _inverse_cumulated(blocks[torch.arange(len(blocks), device=blocks.device), block], shares[:, 1:])
    return block * side + place


def _inverse_cumulated(weights: Float[Tensor, "n k"], share: Float[Tensor, "n 1"]) -> Int64[Tensor, "n"]:
    cumulated = weights.cumsum(dim=1, dtype=share.dtype)
    # Below 1 even after rounding: what lies beyond the last code that has any weight is never drawn.
    share = share * (1 - torch.finfo(share.dtype).eps)
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


def _twice(x: Tensor) -> Tensor:
    return torch.cat([x, x])
