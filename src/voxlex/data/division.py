"""Divide a data set into training, validation and test images, so that no image is known from another split.

The images of a subject stay together, and so do images that show the same slice.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from voxlex.duplicates.components import Components
from voxlex.duplicates.leaks import Leaks, crossing
from voxlex.duplicates.pairs import MAX_BITS, MIN_CORRELATION, cluster, find_duplicates
from voxlex.duplicates.thumbnails import COLUMNS, ROWS
from voxlex.errors import DataError

SPLITS = ("train", "validation", "test")
"""The names of the splits, in the order in which a prepared data set stores them."""

_NOTHING = np.zeros((0, ROWS, COLUMNS), np.float16)

# What a split made here keeps together is judged a little more widely than what is called a near-duplicate elsewhere:
# an audit, which sees other canvases, must find nothing across it.
_BITS, _CORRELATION = MAX_BITS + 4, MIN_CORRELATION - 0.02


def divide(
    manifest: pd.DataFrame,
    thumbnails: Float[np.ndarray, "n 32 34"] | None,
    *,
    seed: int,
    name: str,
    allow_leak: bool = False,
) -> tuple[pd.DataFrame, dict[str, str | int]]:
    """Group the rows of a manifest, and divide them into splits where the user has not done so.

    Args:
        manifest: Rows with a `path`, a `subject` and a `group`, and with a `split` if the user divides.
        thumbnails: One for each row; None where near-duplicates need not be looked for.
        seed: Seed of the division.
        name: Name of the source, for the message.
        allow_leak: Take a user's split as it is, even if it leaks.

    Returns:
        The manifest, and what there is to say about a user's split: that it was "given", and how much leaks. In the
        manifest, `group` names the connected components of "same group" and "near-duplicate", and each of them lies in
        one `split`.

    Raises:
        DataError: If the user's split leaks: a subject or a pair of near-duplicates crosses it.
    """
    thumbnails = _NOTHING if thumbnails is None else thumbnails
    if "split" not in manifest:
        groups = _groups(list(manifest["group"]), thumbnails)
        return manifest.assign(group=groups, split=split_or_test(groups, seed=seed)), {}
    splits = list(manifest["split"])
    leaks = Leaks(list(manifest["path"]), splits, crossing(list(manifest["subject"]), splits))
    groups = join(list(manifest["group"]), cluster(len(manifest), leaks.watch(find_duplicates(thumbnails))))
    if leaks and not allow_leak:
        raise DataError(
            f"{name}: its split leaks: {leaks}. 'voxlex data audit' shows all of it; without the column 'split', a "
            "split that does not leak is made; 'voxlex prepare --allow-leak' takes this one as it is"
        )
    facts: dict[str, str | int] = {"split": "given"}
    if leaks:
        facts |= {"leaking_subjects": len(leaks.subjects), "leaking_pairs": leaks.pair_count}
    return manifest.assign(group=groups), facts


def split_or_test(groups: Sequence[str], *, seed: int) -> np.ndarray:
    """Divide 80/10/10, or, where fewer than three groups cannot be divided, give everything to the test split.

    One or two images can then still be reconstructed and evaluated, and training on them says what is missing.
    """
    if len(set(groups)) < len(SPLITS):
        return np.full(len(groups), "test")
    return assign_splits(groups, seed=seed)


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
        ValueError: If the fractions are negative or do not sum to 1.
        DataError: If there are fewer groups than splits.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: expected shares of at least 0 that sum to 1, got {fractions}")
    names, members = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(names) < wanted:
        raise DataError(f"{len(names)} groups (subjects, or files without one) cannot be divided into {wanted} splits")
    order = np.random.default_rng(seed).permutation(len(names))
    of_group = np.empty(len(names), dtype=f"<U{max(map(len, SPLITS))}")
    of_group[order] = np.repeat(SPLITS, _counts(len(names), fractions))
    return of_group[members]


def join(groups: Sequence[str], clusters: Sequence[int] | np.ndarray) -> list[str]:
    """Join groups that share a cluster, and clusters that share a group; a joined group has its first group's name.

    Args:
        groups: Group of each image, such as its subject or its path.
        clusters: Cluster of near-duplicates of each image, 0 and up.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(groups):
        return []
    names, numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    numbers, labels = numbers.reshape(-1), np.asarray(clusters) + len(names)
    count = int(labels.max()) + 1
    edges = coo_array((np.ones(len(labels), np.int8), (numbers, labels)), shape=(count, count))
    component = connected_components(edges, directed=False)[1]
    first = np.full(int(component.max()) + 1, len(names))
    np.minimum.at(first, component[: len(names)], np.arange(len(names)))  # names are sorted
    return [str(word) for word in names[first[component[numbers]]]]


def _groups(groups: Sequence[str], thumbnails: np.ndarray) -> list[str]:
    """Join groups by near-duplicates; pairs within one, such as the slices of a volume, need not be looked at."""
    components = Components(np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].reshape(-1))
    for _ in find_duplicates(thumbnails, bits=_BITS, correlation=_CORRELATION, components=components):
        pass
    return join(groups, components.labels)


def _counts(total: int, fractions: tuple[float, ...]) -> list[int]:
    counts = [max(round(total * fraction), int(fraction > 0)) for fraction in fractions]
    # Rounding and the minimum of one leave a few groups too many or too few; the largest split can bear the difference.
    largest = counts.index(max(counts))
    counts[largest] += total - sum(counts)
    return counts
