"""Divide a data set into training, validation and test images without leaks.

Images of one subject lie in one split, and so do images that show the same slice.
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
from voxlex.tables.persons import same_subjects

SPLITS = ("train", "validation", "test")
"""The names of the splits, in the order in which a prepared data set stores them."""

_NOTHING = np.zeros((0, ROWS, COLUMNS), np.float16)

# The criteria are a little wider than those for near-duplicates, so that an audit, which uses other canvases, does not
# find near-duplicates across the splits.
_BITS, _CORRELATION = MAX_BITS + 4, MIN_CORRELATION - 0.02


def divide(
    manifest: pd.DataFrame,
    thumbnails: Float[np.ndarray, "n 32 34"] | None,
    *,
    seed: int,
    name: str,
    allow_leak: bool = False,
) -> tuple[pd.DataFrame, dict[str, str | int]]:
    """Group the rows of a manifest, and divide them into splits unless the user has done so.

    If the user's split has training rows but no validation or no test rows, groups of the training rows are held out
    for them.

    Args:
        manifest: Table with the columns `path`, `subject` and `group`, and with `split` if the user has divided the
            data.
        thumbnails: Thumbnail of each row; None to skip the search for near-duplicates.
        seed: Seed of the division.
        name: Name of the source, for messages.
        allow_leak: Whether to use the splits of the user even if they leak.

    Returns:
        The manifest, and facts about the splits of the user: that they were "given", and the number of leaks. In the
        manifest, `group` names the connected components of "same group" and "near-duplicate". Each component lies in
        one `split`.

    Raises:
        DataError: If the user's split leaks: a subject or a pair of near-duplicates crosses it.
    """
    thumbnails = _NOTHING if thumbnails is None else thumbnails
    if "split" not in manifest:
        groups = _groups(list(manifest["group"]), thumbnails)
        return manifest.assign(group=groups, split=split_or_test(groups, seed=seed)), {}
    splits = list(manifest["split"])
    leaks = Leaks(list(manifest["path"]), splits, crossing(same_subjects(list(manifest["subject"])), splits))
    groups = join(list(manifest["group"]), cluster(len(manifest), leaks.watch(find_duplicates(thumbnails))))
    if leaks and not allow_leak:
        raise DataError(
            f"{name}: its split leaks: {leaks}. 'voxlex data audit' shows all of it; without the column 'split', a "
            "split that does not leak is made; 'voxlex prepare --allow-leak' takes this one as it is"
        )
    facts: dict[str, str | int] = {"split": "given"}
    if leaks:
        facts |= {"leaking_subjects": len(leaks.subjects), "leaking_pairs": leaks.pair_count}
    completed, held_out = hold_out(splits, groups, seed=seed)
    if held_out:
        facts["held_out"] = ", ".join(f"{count} {split}" for split, count in held_out.items())
    return manifest.assign(group=groups, split=completed), facts


def hold_out(splits: Sequence[str], groups: Sequence[str], *, seed: int) -> tuple[list[str], dict[str, int]]:
    """Move groups out of the training rows into the validation and the test split, if one of them is missing.

    Without training rows, or with too few groups of them to divide, nothing changes. Groups with rows in another split,
    which only a split that leaks has, stay.

    Args:
        splits: Split of each image.
        groups: Group of each image.
        seed: Seed of the choice.

    Returns:
        The split of each image, and the number of images in each split that was missing.
    """
    missing = [split for split in SPLITS[1:] if split not in splits]
    elsewhere = {group for group, split in zip(groups, splits, strict=True) if split != SPLITS[0]}
    rows = [row for row, split in enumerate(splits) if split == SPLITS[0] and groups[row] not in elsewhere]
    if not missing or len({groups[row] for row in rows}) <= len(missing):
        return list(splits), {}
    # A tenth of all data each, as in a split that is made: the training part of a published split is nine tenths of it.
    share = 1 / (8 + len(missing))
    validation, test = (share if split in missing else 0.0 for split in SPLITS[1:])
    fractions = (1 - validation - test, validation, test)
    completed = list(splits)
    for row, split in zip(
        rows, assign_splits([groups[row] for row in rows], seed=seed, fractions=fractions), strict=True
    ):
        completed[row] = str(split)
    return completed, {split: completed.count(split) for split in missing}


def split_or_test(groups: Sequence[str], *, seed: int) -> np.ndarray:
    """Divide groups 80/10/10. If there are fewer than three groups, assign all images to the test split.

    So one or two images can be reconstructed and evaluated. Training on them raises an error that explains the problem.
    """
    if len(set(groups)) < len(SPLITS):
        return np.full(len(groups), "test")
    return assign_splits(groups, seed=seed)


def assign_splits(
    groups: Sequence[str], *, seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> np.ndarray:
    """Assign groups to splits, and return the split of each image.

    The split of a group depends on the seed and on the set of groups, not on the order or the number of their images.
    Each split whose fraction is above 0 gets at least one group.

    Args:
        groups: Group of each image, such as its subject. Images of one group stay together.
        seed: Seed of the division.
        fractions: Shares of the groups for training, validation and test, which sum to 1.

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
        raise DataError(
            f"expected at least {wanted} groups (subjects, or files without one) to divide, got {len(names)}"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    of_group = np.empty(len(names), dtype=f"<U{max(map(len, SPLITS))}")
    of_group[order] = np.repeat(SPLITS, _counts(len(names), fractions))
    return of_group[members]


def join(groups: Sequence[str], clusters: Sequence[int] | np.ndarray) -> list[str]:
    """Join groups that share a cluster, and clusters that share a group. The first group names the joined group.

    Args:
        groups: Group of each image, such as its subject or its path.
        clusters: Cluster of near-duplicates of each image, 0 and up.
    """
    if not len(groups):
        return []
    names, place, numbers = np.unique(np.asarray(groups, dtype=str), return_index=True, return_inverse=True)
    components, numbers = Components(clusters), numbers.reshape(-1)
    components.join(place[numbers], np.arange(len(groups)))  # each image with one of its group
    first = np.full(int(components.labels.max()) + 1, len(names))
    np.minimum.at(first, components.labels, numbers)  # names are sorted
    return [str(name) for name in names[first[components.labels]]]


def _groups(groups: Sequence[str], thumbnails: np.ndarray) -> list[str]:
    """Join groups by near-duplicates. Pairs within a group, such as slices of one volume, are skipped."""
    components = Components(np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].reshape(-1))
    for _ in find_duplicates(thumbnails, bits=_BITS, correlation=_CORRELATION, components=components):
        pass
    return join(groups, components.labels)


def _counts(total: int, fractions: tuple[float, ...]) -> list[int]:
    counts = [max(round(total * fraction), int(fraction > 0)) for fraction in fractions]
    # Because of rounding and the minimum of one, the sum may be off by a few groups. The largest split takes them.
    largest = counts.index(max(counts))
    counts[largest] += total - sum(counts)
    return counts
