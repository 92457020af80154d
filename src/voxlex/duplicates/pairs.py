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
"""Largest number of differing bits, of 256, between the difference hashes of near-duplicates."""

MIN_CORRELATION = 0.92
"""Smallest correlation between the details of near-duplicates."""

_PORTION = 4096  # pairs that are examined at once
_BATCH = 256  # pairs whose details fit into a processor's cache


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        first: Index of one image.
        second: Index of the other image, which is larger than `first`.
        bits: Number of differing hash bits, of 256, after the best flip of one image.
        flip: Index of this flip in `hashes.FLIPS`.
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
    pairs that can reach `correlation` (see `search`), and only those are examined.

    Args:
        thumbnails: Thumbnail of each image from `thumbnail`; `float16` is precise enough.
        bits: Largest number of differing hash bits.
        correlation: Smallest correlation of the details.
        components: Components to update, if only the joined groups matter. Found pairs join components, and pairs
            within a component are skipped. By default, all pairs are examined.
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
        count: Number of images.
        pairs: Portions of pairs. Only one portion is in memory at a time.
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
    # A flip turns rises into falls, which a hash does not contain. So each image is flipped in turn.
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
