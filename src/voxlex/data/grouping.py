"""What must stay on one side of a split: the images of a subject, and images that show the same slice."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from voxlex.data.splits import split_or_test
from voxlex.duplicates.components import Components
from voxlex.duplicates.leaks import Leaks, crossing
from voxlex.duplicates.pairs import MAX_BITS, MIN_CORRELATION, cluster, find_duplicates
from voxlex.duplicates.thumbnails import COLUMNS, ROWS
from voxlex.errors import DataError

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
        name: Of the source, for the message.
        allow_leak: Take a user's split that leaks as it is.

    Returns:
        The manifest, with `group` the connected components of "same group" and "near-duplicate", and a `split` that
        tears none of them apart; and what there is to say about a user's split: that it was "given", and what leaks.

    Raises:
        DataError: The user's split leaks: a subject or a pair of near-duplicates crosses it.
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


def _groups(groups: Sequence[str], thumbnails: np.ndarray) -> list[str]:
    """Join groups by near-duplicates; pairs within one, such as the slices of a volume, need not be looked at."""
    components = Components(np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].reshape(-1))
    for _ in find_duplicates(thumbnails, bits=_BITS, correlation=_CORRELATION, components=components):
        pass
    return join(groups, components.labels)


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
