"""Confidence intervals of means over images that come in groups."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def bootstrap_interval(
    values: Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a confidence interval of the mean, by the bootstrap over groups (Field and Welsh, JRSS B 2007).

    Images of one subject are alike. So whole groups are drawn with replacement, and not single images.

    Args:
        values: A value for each image.
        groups: The group of each image, such as its subject.
        level: Confidence, from 0 to 1.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        The lower and the upper end; NaN if there are fewer than two groups.
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    random = np.random.default_rng(seed)
    times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    means = (times @ sums) / (times @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
