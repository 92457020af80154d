"""Divide a data set into training, validation and test images without tearing a group apart."""

from collections.abc import Sequence

import numpy as np

from voxlex.errors import DataError

SPLITS = ("train", "validation", "test")
"""The names of the splits, in the order in which a prepared data set stores them."""


def assign_splits(
    groups: Sequence[str], *, seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> np.ndarray:
    """Give each image the split of its group.

    The split of a group depends on the seed and on the set of groups, not on the order or the number of their images.
    Each split whose fraction is above 0 gets at least one group.

    Args:
        groups: Group of each image, such as its subject: images of one group stay together.
        seed: Seed of the division.
        fractions: Shares of the groups for training, validation and test; they sum to 1.

    Returns:
        Array of `len(groups)` strings out of `SPLITS`.

    Raises:
        ValueError: The fractions are negative or do not sum to 1.
        DataError: There are fewer groups than splits.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions must be at least 0 and sum to 1, found {fractions}")
    names, members = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(names) < wanted:
        raise DataError(f"{len(names)} groups (subjects, or files without one) cannot be divided into {wanted} splits")
    order = np.random.default_rng(seed).permutation(len(names))
    of_group = np.empty(len(names), dtype=f"<U{max(map(len, SPLITS))}")
    of_group[order] = np.repeat(SPLITS, _counts(len(names), fractions))
    return of_group[members]


def split_or_test(groups: Sequence[str], *, seed: int) -> np.ndarray:
    """Divide 80/10/10, or, where fewer than three groups cannot be divided, give everything to the test split.

    One or two images can then still be reconstructed and evaluated, and training on them says what is missing.
    """
    if len(set(groups)) < len(SPLITS):
        return np.full(len(groups), "test")
    return assign_splits(groups, seed=seed)


def _counts(total: int, fractions: tuple[float, ...]) -> list[int]:
    counts = [max(round(total * fraction), int(fraction > 0)) for fraction in fractions]
    # Rounding and the minimum of one leave a few groups too many or too few; the largest split can bear the difference.
    largest = counts.index(max(counts))
    counts[largest] += total - sum(counts)
    return counts
