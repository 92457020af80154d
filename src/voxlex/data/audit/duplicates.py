"""Find all pairs of images that show the same slice: copies, other encodings, other contrast, mirror images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from voxlex.data.audit.details import details_of, flip_blind, flip_signs
from voxlex.data.audit.hashes import BITS, FLIPS, differing_bits, hashes_of_flips

MAX_BITS = 24
"""Bits of 256 in which the difference hashes of near-duplicates may differ."""

MIN_CORRELATION = 0.92
"""Least correlation of the details of near-duplicates."""

_TILE = (1024, 8192)
_CHUNK = 1 << 17  # pairs looked at at once
_BATCH = 4096  # images


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        first: Number of an image.
        second: Number of the other, larger than `first`.
        bits: How many of 256 bits their hashes differ in, one of them flipped so that they are most alike.
        flip: That flip, a number of `hashes.FLIPS`.
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
    thumbnails: Float[np.ndarray, "n 32 34"], *, bits: int = MAX_BITS, correlation: float = MIN_CORRELATION
) -> Iterator[Pairs]:
    """Find every pair of near-duplicates, and yield them in portions of bounded size.

    Two images are near-duplicates if, with one of them flipped or not, their difference hashes differ in at most `bits`
    bits and their details correlate at `correlation` or more. The search is exact: a matrix product over 72 numbers an
    image leaves the few pairs that can reach `correlation` (see `flip_blind`), and those are looked at.

    Args:
        thumbnails: One for each image, from `thumbnail`; `float16` is precise enough.
        bits: Most bits.
        correlation: Least correlation.
    """
    hashes, blind, usable = _sketch(thumbnails)
    plain = hashes[0]
    for first, second in _candidates(blind, reach=2 * (1 - correlation) + 1e-4):
        first, second = usable[first], usable[second]
        # A flip turns rises into falls, which a hash does not see: either image may be the flipped one.
        distances = np.stack(
            [
                np.minimum(differing_bits(plain[first], flip[second]), differing_bits(flip[first], plain[second]))
                for flip in hashes
            ]
        )
        close = (distances <= bits).any(axis=0)
        first, second, distances = first[close], second[close], distances[:, close]
        alike = (_correlations(thumbnails, first, second) >= correlation) & (distances <= bits)
        distances = np.where(alike, distances, BITS)
        near = np.flatnonzero(alike.any(axis=0))
        if len(near):
            yield Pairs(first, second, distances.min(axis=0), distances.argmin(axis=0))[near]


def cluster(count: int, pairs: Iterator[Pairs] | Sequence[Pairs]) -> Int[np.ndarray, " n"]:
    """Number the clusters of near-duplicates: images joined by a chain of pairs have the same number.

    Args:
        count: How many images there are.
        pairs: Portions of pairs; only one is held at a time.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    labels = np.arange(count)
    for portion in pairs:
        edges = (np.ones(len(portion), np.int8), (labels[portion.first], labels[portion.second]))
        labels = connected_components(coo_array(edges, shape=(count, count)), directed=False)[1][labels]
    return np.unique(labels, return_inverse=True)[1].reshape(count)


def _sketch(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes of each flip, flip-blind details of the images that show something, and which those are."""
    hashes, blind, shows = [], [], []
    for start in range(0, max(len(thumbnails), 1), _BATCH):
        batch = thumbnails[start : start + _BATCH]
        hashes.append(hashes_of_flips(batch))
        details = details_of(batch)
        blind.append(flip_blind(details))
        shows.append(details.any(axis=(1, 2)))
    usable = np.flatnonzero(np.concatenate(shows))
    return np.concatenate(hashes, axis=1), np.concatenate(blind)[usable], usable


def _candidates(vectors: np.ndarray, *, reach: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of vectors whose squared distance is at most `reach`."""
    # |a|² + |b|² - 2 a·b <= reach, as one product: (2a, -1, -|a|²)·(b, |b|², 1) >= -reach
    lengths, ones = np.square(vectors).sum(axis=1, keepdims=True), np.ones((len(vectors), 1), np.float32)
    left, right = np.hstack([2 * vectors, -ones, -lengths]), np.hstack([vectors, lengths, ones])
    rows, columns = _TILE
    for top in range(0, len(vectors), rows):
        for start in range(top, len(vectors), columns):
            close = left[top : top + rows] @ right[start : start + columns].T >= -reach
            first, second = np.divmod(np.flatnonzero(close), close.shape[1])
            upper = second + start > first + top
            first, second = first[upper] + top, second[upper] + start
            for chunk in range(0, len(first), _CHUNK):
                yield first[chunk : chunk + _CHUNK], second[chunk : chunk + _CHUNK]


def _correlations(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlations of the details of pairs, `(4, p)`: one row for each flip."""
    signs = np.stack([flip_signs(flip).ravel() for flip in range(len(FLIPS))])
    result = np.zeros((len(FLIPS), len(first)), np.float32)
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        images, where = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        details = details_of(thumbnails[images]).reshape(len(images), -1)
        of_first, of_second = np.split(where.reshape(-1), 2)
        result[:, part] = signs @ (details[of_first] * details[of_second]).T
    return result
