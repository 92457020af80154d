"""Values as ranks: how far they lie above the least one, or which of the values that occur they are.

Pictures often use few of the values in their range, for example after a change of contrast, and label maps always do.
Then the values that occur are listed, so that no bits are spent on ruling out the others.
"""

import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from voxlex.lossless.container import number, read_number

MOST_LEVELS = 1 << 24
"""Beyond this number of ranks, arithmetic would not be exact."""

_NEAR = 8
"""How far from a value others are ruled out."""


class Ranks(NamedTuple):
    """What ranks stand for.

    Attributes:
        low: The least value.
        high: The greatest value.
        palette: Values that occur, sorted; None if a rank is the distance from the least value.
    """

    low: int
    high: int
    palette: np.ndarray | None

    @property
    def levels(self) -> int:
        """Number of ranks."""
        return self.high - self.low + 1 if self.palette is None else len(self.palette)


def ranks_for(values: np.ndarray) -> Ranks:
    """Return the ranks that take the fewest bits: listing the values that occur, or ruling out the others.

    Others are ruled out near a value each time that it occurs, which takes log₂(places / values that occur there) bits
    at most. Half of it is what the model does not learn by itself.
    """
    occurring, counts = np.unique(values, return_counts=True)
    low, high = int(occurring[0]), int(occurring[-1])
    listed = Ranks(low, high, occurring)
    if high - low >= MOST_LEVELS:
        return listed
    above = _above(occurring, low)
    first, last = np.maximum(above - _NEAR, 0), np.minimum(above + _NEAR, high - low)
    near = np.searchsorted(above, last, side="right") - np.searchsorted(above, first, side="left")
    saved = 0.5 * float(counts @ np.log2((last - first + 1) / near))
    return listed if 8 * len(write_ranks(listed)) < saved else Ranks(low, high, None)


def to_ranks(values: np.ndarray, ranks: Ranks) -> np.ndarray:
    """Return the ranks of values as slices in int64. Values that have no rank, as of a prediction, get one nearby."""
    slices = np.ascontiguousarray(values if values.ndim == 3 else values[None])
    if ranks.palette is not None:
        return np.minimum(np.searchsorted(ranks.palette, slices), ranks.levels - 1).astype(np.int64)
    limits = np.iinfo(slices.dtype)
    low, high = (min(max(end, limits.min), limits.max) for end in (ranks.low, ranks.high))
    above = _above(np.clip(slices, low, high), low)
    return np.clip(above + min(low - ranks.low, ranks.levels), 0, ranks.levels - 1)


def _above(values: np.ndarray, low: int) -> np.ndarray:
    """Return how far values lie above the least one. They wrap around on the way, as no kind of number holds all."""
    return (values.astype(np.uint64) - np.uint64(low % (1 << 64))).astype(np.int64)


def from_ranks(numbers: np.ndarray, ranks: Ranks, dtype: np.dtype) -> np.ndarray:
    """Return the values of ranks."""
    if ranks.palette is not None:
        return ranks.palette.astype(dtype)[numbers]
    return (numbers.astype(np.uint64) + np.uint64(ranks.low % (1 << 64))).astype(dtype)


def write_ranks(ranks: Ranks) -> bytes:
    """Return the least value, the range, and the deflated gaps between the values that occur, if they are listed."""
    gaps = b""
    if ranks.palette is not None:
        occurring = [int(value) for value in ranks.palette]
        steps = (number(after - before) for before, after in pairwise(occurring))
        gaps = zlib.compress(b"".join(steps), 9)
    zigzag = 2 * ranks.low if ranks.low >= 0 else -2 * ranks.low - 1
    return number(zigzag) + number(ranks.high - ranks.low) + number(len(gaps)) + gaps


def read_ranks(data: bytes, at: int) -> tuple[Ranks, int]:
    """Return ranks that begin at a place, and the place after them.

    Raises:
        IndexError, ValueError, zlib.error: If there are none.
    """
    zigzag, at = read_number(data, at)
    spread, at = read_number(data, at)
    length, at = read_number(data, at)
    low = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
    if not length:
        return Ranks(low, low + spread, None), at
    gaps = zlib.decompressobj().decompress(data[at : at + length], 10 * MOST_LEVELS)
    palette, place = [low], 0
    while place < len(gaps):
        gap, place = read_number(gaps, place)
        palette.append(palette[-1] + gap)
    if (
        palette[-1] != low + spread
        or not -(1 << 63) <= low <= palette[-1] < 1 << 64
        or (low < 0 and palette[-1] >= 1 << 63)
    ):
        raise ValueError
    return Ranks(low, low + spread, np.array(palette, np.int64 if palette[-1] < 1 << 63 else np.uint64)), at + length
