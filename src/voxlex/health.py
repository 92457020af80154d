"""Whether a codebook is well: how many of its words carry a data set, and how long they are."""

from dataclasses import dataclass

import torch

from voxlex import metrics
from voxlex.quantizers import Quantizer
from voxlex.types import Codes

_COLLAPSED = 0.1
"""A codebook is collapsing when its perplexity is below this share of its size."""


@dataclass(frozen=True, kw_only=True)
class CodebookHealth:
    """Figures of a quantizer's codebooks over a data set; means over codebooks, where there are several.

    Attributes:
        usage: Share of the codewords that occur at all, from 0 to 1.
        perplexity: Effective number of codewords in use, from 1 to K.
        dead: Codewords, of all codebooks together, that do not occur.
        norms: Shortest, median and longest codeword, over all codebooks.
        warning: What is wrong and what to try, if the codebook has collapsed; else None.
    """

    usage: float
    perplexity: float
    dead: int
    norms: tuple[float, float, float]
    warning: str | None

    @property
    def figures(self) -> dict[str, float]:
        """The figures by the names that evaluations use."""
        shortest, median, longest = self.norms
        return {
            "codebook.perplexity": self.perplexity,
            "codebook.usage": self.usage,
            "codebook.dead": self.dead,
            "codebook.norm_shortest": shortest,
            "codebook.norm_median": median,
            "codebook.norm_longest": longest,
        }


def codebook_health(quantizer: Quantizer, codes: Codes) -> CodebookHealth:
    """Examine a quantizer's codebooks.

    Args:
        quantizer: The quantizer.
        codes: Of a whole data set, as `quantizer.encode` gives them; a batch says too little.
    """
    counts = metrics.code_counts(codes, quantizer.num_embeddings)
    norms = quantizer.codeword_norms().flatten()
    perplexity = metrics.perplexity(counts)
    collapsed = perplexity < _COLLAPSED * min(quantizer.num_embeddings, codes[:, 0].numel())
    warning = (
        f"the codebook is collapsing: perplexity {perplexity:.0f} of {quantizer.num_embeddings} codewords; "
        f"try {quantizer.remedy}"
    )
    return CodebookHealth(
        usage=metrics.usage(counts),
        perplexity=perplexity,
        dead=int((counts == 0).sum()),
        norms=(float(norms.min()), float(torch.median(norms)), float(norms.max())),
        warning=warning if collapsed else None,
    )
