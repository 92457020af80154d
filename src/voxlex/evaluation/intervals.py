"""Confidence intervals of means over images that come in groups."""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
LEVEL = 0.95


def bootstrap_interval(
    values: Float[np.ndarray, " n"],
    groups: Sequence[Hashable],
    *,
    strata: Sequence[int] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a confidence interval of the mean, by the bootstrap over groups (Field and Welsh, JRSS B 2007).

    Images of one subject are alike. So whole groups are drawn with replacement, and not single images.

    Args:
        values: A value for each image.
        groups: The group of each image, such as its subject.
        strata: The stratum of each image. Groups of each stratum are drawn for themselves, and the interval is that of
            the mean of the means of the strata. By default, all images are one stratum.
        level: Confidence, from 0 to 1.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        The lower and the upper end; NaN if a stratum has fewer than two groups.
    """
    stratum = np.zeros(len(values), dtype=int) if strata is None else np.asarray(strata)
    member = np.unique([str(group) for group in groups], return_inverse=True)[1]
    random = np.random.default_rng(seed)
    means = np.mean(
        [
            _resampled_means(values[stratum == one], member[stratum == one], resamples=resamples, random=random)
            for one in np.unique(stratum)
        ],
        axis=0,
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(
    values: Float[np.ndarray, " n"], groups: np.ndarray, *, resamples: int, random: np.random.Generator
) -> Float[np.ndarray, " resamples"]:
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return np.full(resamples, np.nan)
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return (times @ sums) / (times @ counts)
