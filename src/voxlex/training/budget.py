"""The budget of training, and the learning rate that depends on the share that is spent."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget of minutes or of steps; exactly one of them is given.

    Raises:
        ValueError: If both or neither are given, or the given one is not above 0.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(
                f"budget: expected either minutes or steps, got minutes={self.minutes}, steps={self.steps}"
            )
        if not (self.minutes or self.steps or 0) > 0:
            raise ValueError(f"budget: expected more than 0, got minutes={self.minutes}, steps={self.steps}")

    def progress(self, *, step: int, elapsed_s: float) -> float:
        """Return the share of the budget that is spent, from 0 to 1."""
        spent = step / self.steps if self.steps else elapsed_s / (60 * (self.minutes or 1))
        return min(spent, 1.0)


def learning_rate_factor(progress: float, *, warmup: float) -> float:
    """Return the factor on the learning rate: a linear rise, then a cosine decay to zero (1608.03983).

    Args:
        progress: Share of the budget spent, from 0 to 1.
        warmup: Share of the budget in which the factor rises, in [0, 1).
    """
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
