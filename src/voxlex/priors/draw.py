"""How a code is chosen from logits, whichever prior gave them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Chooses codes from logits, at random; truncations of the distribution (top-k, top-p) belong here.

    Attributes:
        temperature: Divides the logits; positive. 1 keeps the distribution, towards 0 only the likeliest code is left.
        generator: Source of randomness, on the logits' device; None uses torch's own.
    """

    temperature: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive and finite, not {self.temperature}")

    def __call__(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, "n"]:
        """One code for each row of logits."""
        # The largest logit becomes 0 first, so that however small the temperature nothing overflows to +inf.
        shifted = logits - logits.amax(dim=1, keepdim=True)
        temperature = max(self.temperature, torch.finfo(logits.dtype).tiny)
        return torch.multinomial((shifted / temperature).softmax(dim=1), 1, generator=self.generator).squeeze(1)
