"""Find all pairs of images that show the same slice: copies, other encodings, other contrast, mirror images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from voxlex.duplicates.components import Components
from voxlex.duplicates.details import SIGNS, details_of, parity_classes
from voxlex.duplicates.hashes import BITS, differing_bits, hashes_of_flips
from voxlex.duplicates.search import Candidates, Sketch, candidates

MAX_BITS = 24
"""Bits of 256 in which the difference hashes of near-duplicates may differ."""

MIN_CORRELATION = 0.92
"""Least correlation of the details of near-duplicates."""

_PORTION = 4096  # pairs looked at at once
_BATCH = 256  # pairs whose details fit into a processor's cache


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        first: Number of an image.
        second: Number of the other, larger than `first`.
        bits: In how many of 256 bits their hashes differ, where one image is flipped so that they are most alike.
        flip: How it is flipped, a number of `hashes.FLIPS`.
    """

    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    bits: Int[np.ndarray, " p"]
    flip: Int[np.ndarray, " p"]

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray | slice) -> "Pairs":
        return Pairs(self.first[chosen], self.second[chosen], self.bits[chosen], self.flip[chosen])


def find_duplicates(
    thumbnails: Float[np.ndarray, "n 32 34"],
    *,
    bits: int = MAX_BITS,
    correlation: float = MIN_CORRELATION,
    components: Components | None = None,
) -> Iterator[Pairs]:
    """Find every pair of near-duplicates, and yield them in portions of bounded size.

    Two images are near-duplicates if, with one of them flipped or not, their difference hashes differ in at most `bits`
    bits and their details correlate at `correlation` or more. The search is exact: a few matrix products find the few
    pairs that can reach `correlation` (see `search`), and only those are looked at.

    Args:
        thumbnails: One for each image, from `thumbnail`; `float16` is precise enough.
        bits: In how many bits the hashes may differ at most.
        correlation: How much the details must correlate at least.
        components: Give these if it only matters which images are joined. Pairs that are found join them, and pairs
            within a component are not looked at. By default all pairs are looked at.
    """
    found = candidates(Sketch.of(thumbnails), correlation=correlation, components=components)
    for first, second in _in_portions(found):
        if components is not None:
            apart = components.apart(first, second)
            first, second = first[apart], second[apart]
        pairs = _judge(thumbnails, first, second, bits=bits, correlation=correlation)
        if components is not None:
            components.join(pairs.first, pairs.second)
        if len(pairs):
            yield pairs


def cluster(count: int, pairs: Iterator[Pairs] | Sequence[Pairs]) -> Int[np.ndarray, " n"]:
    """Number the clusters of near-duplicates: images joined by a chain of pairs have the same number.

    Args:
        count: How many images there are.
        pairs: Portions of pairs; only one is held at a time.
    """
    components = Components(np.arange(count))
    for portion in pairs:
        components.join(portion.first, portion.second)
    return np.unique(components.labels, return_inverse=True)[1].reshape(count)


def _in_portions(found: Iterator[Candidates]) -> Iterator[Candidates]:
    """Collect pairs into portions of a good size, and cut large ones."""
    waiting: list[Candidates] = []
    for portion in found:
        waiting.append(portion)
        if sum(len(first) for first, _ in waiting) >= _PORTION:
            yield from _cut(waiting)
            waiting = []
    if waiting:
        yield from _cut(waiting)


def _cut(portions: list[Candidates]) -> Iterator[Candidates]:
    first, second = (np.concatenate(side) for side in zip(*portions, strict=True))
    for start in range(0, len(first), _PORTION):
        yield first[start : start + _PORTION], second[start : start + _PORTION]


def _judge(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray, *, bits: int, correlation: float) -> Pairs:
    """Return which of some pairs are near-duplicates."""
    images, where = np.unique(np.concatenate([first, second]), return_inverse=True)
    left, right = np.split(where.reshape(-1), 2)
    hashes = hashes_of_flips(thumbnails[images])
    plain = hashes[0]
    # A flip turns rises into falls, which a hash does not see: either image may be the flipped one.
    distances = np.stack(
        [
            np.minimum(differing_bits(plain[left], flip[right]), differing_bits(flip[left], plain[right]))
            for flip in hashes
        ]
    )
    close = (distances <= bits).any(axis=0)
    first, second, left, right, distances = first[close], second[close], left[close], right[close], distances[:, close]
    alike = (_correlations(thumbnails[images], left, right) >= correlation) & (distances <= bits)
    distances = np.where(alike, distances, BITS)
    near = np.flatnonzero(alike.any(axis=0))
    return Pairs(first, second, distances.min(axis=0), distances.argmin(axis=0))[near]


def _correlations(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlations of the details of pairs, `(4, p)`, one row for each flip."""
    classes = parity_classes(details_of(thumbnails))
    products = np.zeros((len(first), len(SIGNS)), np.float32)
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        np.einsum("pck,pck->pc", classes[first[part]], classes[second[part]], out=products[part])
    return SIGNS @ products.T
