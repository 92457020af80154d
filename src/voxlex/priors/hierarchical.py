"""A prior over the codes of several levels: one prior for each, coarsest first."""

from collections.abc import Sequence
from typing import cast

from torch import nn

from voxlex.priors.base import LevelPrior, Prior
from voxlex.priors.level import Level


class HierarchicalPrior(Prior):
    """A prior whose levels each see the codes of all coarser ones, as in VQ-VAE-2 (Razavi et al., 1906.00446).

    p(codes) = Π_levels p(codes of the level | codes of all coarser levels). They are trained together,
    each by the likelihood of its own level, and draw level by level.

    Args:
        levels: The prior of each level, coarsest first. Each takes the layouts of those before it as its context.

    Raises:
        ValueError: If there is no level, or a prior has another context or other conditions than it should.
    """

    def __init__(self, *, levels: Sequence[LevelPrior]) -> None:
        super().__init__()
        if not levels:
            raise ValueError("levels: expected one prior or more, got none")
        for place, prior in enumerate(levels):
            coarser = tuple(before.layout for before in levels[:place])
            if prior.context != coarser:
                raise ValueError(f"levels[{place}].context: expected {coarser}, got {prior.context}")
            if prior.conditions != levels[0].conditions:
                expected = levels[0].conditions.names
                raise ValueError(f"levels[{place}].conditions: expected {expected}, got {prior.conditions.names}")
        self.priors = nn.ModuleList(levels)
        self.conditions = levels[0].conditions
        self.exact = all(prior.exact for prior in levels)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The prior of each level, coarsest first."""
        return tuple(cast(Level, prior) for prior in self.priors)
