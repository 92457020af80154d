"""Completion: some codes of an image are known, the others are drawn to go with them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from voxlex.priors.draw import Draw


@dataclass(frozen=True, kw_only=True)
class CompletingDraw(Draw):
    """Draws hidden codes, gives known ones, and remembers how well those fit what was drawn before them.

    It serves one pass of a prior that chooses codes in raster order, and within a cell in the order of its codebooks.

    Attributes:
        known: Codes in that order; those that are hidden do not matter.
        hidden: Which of them to draw.
        evidence: Log-probability that each image gave each known code, in nats; grows by a tensor with each of them.
    """

    known: Int64[Tensor, " t"]
    hidden: Bool[Tensor, " t"]
    evidence: list[Float[Tensor, " n"]] = field(default_factory=list)
    steps: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, "n"]:
        """One code for each row of logits."""
        step = next(self.steps)
        if self.hidden[step]:
            return super().__call__(logits)
        # A difference, and no slice of all log-probabilities, which would keep those of every cell in memory.
        self.evidence.append(logits[:, self.known[step]] - logits.logsumexp(dim=1))
        return self.known[step].expand(len(logits))
