"""Classifier-free guidance: samples more typical of their condition than the prior's own."""

import math
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.priors.draw import Draw


@dataclass(frozen=True, kw_only=True)
class GuidedDraw(Draw):
    """Draws for a batch that holds every image twice: first all under their conditions, then all under none.

    The logits of the two are l = l_none + guidance · (l_condition − l_none) (Ho and Salimans, 2207.12598, equation 6;
    for codes Sanchez et al., 2306.17806), and both halves get the code that is drawn from them. A prior
    that draws from a batch of the two through a single cache needs to know no more of guidance.

    Attributes:
        guidance: 0 ignores the condition, 1 is the conditional distribution, more goes beyond it.

    Raises:
        ValueError: A value out of its range.
    """

    guidance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.guidance >= 0 and math.isfinite(self.guidance)):
            raise ValueError(f"guidance must be finite and at least 0, not {self.guidance}")

    def __call__(self, logits: Float[Tensor, "m k"]) -> Int64[Tensor, "m"]:
        """One code for each image, given to both of its rows."""
        return super().__call__(self.guided(logits)).repeat(2)

    def guided(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
        """The logits of each image, from those of its two rows."""
        conditional, unconditional = logits.chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)
