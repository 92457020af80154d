"""Leaks: subjects and near-duplicates that lie in more than one split of a data set."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from voxlex.duplicates.pairs import Pairs

_LISTED = 3


def crossing(groups: Sequence[str], splits: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the groups that lie in more than one split, each with its splits. Rows without a group are ignored."""
    found: dict[str, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        if group:
            found.setdefault(group, set()).add(split)
    return {group: tuple(sorted(of_group)) for group, of_group in sorted(found.items()) if len(of_group) > 1}


@dataclass(eq=False)
class Leaks:
    """Counts the leaks of a data set, and keeps the first pairs.

    Attributes:
        paths: Path of each image.
        splits: Split of each image.
        subjects: The subjects that lie in several splits, each with its splits.
        keep: Number of pairs to keep.
        pair_count: Number of pairs of near-duplicates that lie in two splits.
        pairs: The first of these pairs, as numbers of images.
    """

    paths: Sequence[str]
    splits: Sequence[str]
    subjects: dict[str, tuple[str, ...]]
    keep: int = 1000
    pair_count: int = 0
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def watch(self, portions: Iterable[Pairs]) -> Iterator[Pairs]:
        """Yield pairs of near-duplicates unchanged, and record those that cross the splits."""
        names, numbers = np.unique(np.asarray(self.splits, dtype=str), return_inverse=True)
        for portion in portions:
            across = portion[numbers[portion.first] != numbers[portion.second]] if len(names) > 1 else portion[:0]
            self.pair_count += len(across)
            room = max(self.keep - len(self.pairs), 0)
            self.pairs += zip(across.first[:room].tolist(), across.second[:room].tolist(), strict=True)
            yield portion

    def __bool__(self) -> bool:
        return bool(self.subjects or self.pair_count)

    def __str__(self) -> str:
        return "; ".join(self.statements())

    def statements(self) -> list[str]:
        """Return statements with the numbers of leaking subjects and pairs, and with the first of them."""
        parts = []
        if self.subjects:
            named = [f"{subject} in {' and '.join(splits)}" for subject, splits in self.subjects.items()]
            parts.append(_counted(len(self.subjects), "subject", named))
        if self.pair_count:
            named = [
                f"{self.paths[first]} in {self.splits[first]} and {self.paths[second]} in {self.splits[second]}"
                for first, second in self.pairs[:_LISTED]
            ]
            parts.append(_counted(self.pair_count, "pair of near-duplicates", named))
        return parts


def _counted(count: int, what: str, named: Sequence[str]) -> str:
    head, _, tail = what.partition(" ")
    plural = what if count == 1 else f"{head}s {tail}".rstrip()
    shown = list(named[:_LISTED]) + (["…"] if count > _LISTED else [])
    return f"{count} {plural} ({', '.join(shown)})"
