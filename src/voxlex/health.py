"""The health of codebooks: how many codewords are used, and how long the codewords are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex import metrics
from voxlex.codes import levels_of
from voxlex.quantizers import Quantizer
from voxlex.types import Codes, LevelCodes, Levels

_COLLAPSED = 0.1
"""A codebook is collapsing when its perplexity is below this share of its size.

If the quantizer does not aim at equal use, the number of codewords that are used at all counts instead.
"""


@dataclass(frozen=True, kw_only=True)
class CodebookHealth:
    """Figures of the codebooks of a quantizer on a data set. With several codebooks, figures are means over them.

    Attributes:
        codewords: Number of codewords in all codebooks together.
        usage: Share of the codewords that occur, from 0 to 1.
        perplexity: Effective number of codewords in use, from 1 to K.
        dead: Number of codewords, in all codebooks together, that do not occur.
        norms: Lengths of the shortest, the median and the longest codeword of all codebooks.
        warning: The problem and a remedy, if the codebook has collapsed; None otherwise.
    """

    codewords: int
    usage: float
    perplexity: float
    dead: int
    norms: tuple[float, float, float]
    warning: str | None

    @property
    def figures(self) -> dict[str, float]:
        """The figures by name."""
        shortest, median, longest = self.norms
        return {
            "perplexity": self.perplexity,
            "usage": self.usage,
            "dead": self.dead,
            "norm_shortest": shortest,
            "norm_median": median,
            "norm_longest": longest,
        }


@dataclass(frozen=True)
class Health:
    """Figures of the codebooks of every level.

    Attributes:
        levels: The figures of each level, coarsest first.
    """

    levels: tuple[CodebookHealth, ...]

    @property
    def figures(self) -> dict[str, float]:
        """The figures by the names that evaluations use, such as `codebook.perplexity`.

        With several levels, each level has its own figures, such as `codebook.0.perplexity` for the coarsest level. In
        that case, `codebook.usage` and `codebook.dead` count the codewords of all levels.
        """
        if len(self.levels) == 1:
            return {f"codebook.{name}": value for name, value in self.levels[0].figures.items()}
        figures: dict[str, float] = {}
        for number, level in enumerate(self.levels):
            figures |= {f"codebook.{number}.{name}": value for name, value in level.figures.items()}
        dead = sum(level.dead for level in self.levels)
        return figures | {
            "codebook.usage": 1 - dead / sum(level.codewords for level in self.levels),
            "codebook.dead": dead,
        }

    @property
    def warnings(self) -> list[str]:
        """The problem and a remedy, for each level that has collapsed."""
        if len(self.levels) == 1:
            return [level.warning for level in self.levels if level.warning]
        return [f"level {number}: {level.warning}" for number, level in enumerate(self.levels) if level.warning]


def counts_of(quantizers: Sequence[Quantizer], codes: Codes | Levels) -> tuple[Int64[Tensor, "q k"], ...]:
    """Return how often each codeword of each codebook occurs in codes, for every level. Counts of batches add up."""
    pairs = zip(quantizers, levels_of(codes), strict=True)
    return tuple(metrics.code_counts(level, quantizer.num_embeddings) for quantizer, level in pairs)


def health_of(quantizers: Sequence[Quantizer], counts: Sequence[Int64[Tensor, "q k"]]) -> Health:
    """Examine the codebooks of every level.

    Args:
        quantizers: The quantizer of each level, coarsest first.
        counts: How often each codeword occurs in a whole data set, as `counts_of` returns it. A batch is too few.
    """
    return Health(tuple(_health(quantizer, level) for quantizer, level in zip(quantizers, counts, strict=True)))


def codebook_health(quantizer: Quantizer, codes: LevelCodes) -> CodebookHealth:
    """Examine the codebooks of a quantizer.

    Args:
        quantizer: The quantizer.
        codes: Codes of a whole data set from `quantizer.encode`. The codes of a single batch are too few.
    """
    return _health(quantizer, metrics.code_counts(codes, quantizer.num_embeddings))


def _health(quantizer: Quantizer, counts: Int64[Tensor, "q k"]) -> CodebookHealth:
    norms = quantizer.codeword_norms().flatten()
    perplexity = metrics.perplexity(counts)
    in_use = metrics.usage(counts)
    found = perplexity if quantizer.equal_use else in_use * quantizer.num_embeddings
    collapsed = found < _COLLAPSED * min(quantizer.num_embeddings, int(counts[0].sum()))
    share = f"{found:.0f} of {quantizer.num_embeddings} codewords"
    said = f"perplexity {share}" if quantizer.equal_use else f"{share} in use"
    warning = f"the codebook is collapsing: {said}; try {quantizer.remedy}"
    return CodebookHealth(
        codewords=counts.numel(),
        usage=in_use,
        perplexity=perplexity,
        dead=int((counts == 0).sum()),
        norms=(float(norms.min()), float(torch.median(norms)), float(norms.max())),
        warning=warning if collapsed else None,
    )
