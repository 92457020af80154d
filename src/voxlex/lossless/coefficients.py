"""Code the coefficients of the blocks of a picture, each from what is already coded.

The coefficients of a block are coded from the highest frequency to the lowest. Their sizes resemble those of the same
frequency in the blocks nearby, and of the frequencies around them. Where two blocks meet, the picture goes on without a
jump, for each frequency along the edge, which says what the lower frequencies across the edge must add up to.

References:
    Horn et al., "The design, implementation, and deployment of a system to transparently compress hundreds of petabytes
    of image files for a file-storage service" (Lepton), NSDI 2017: the edges of blocks as a context.
"""

from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np

from voxlex.lossless.coder import is_full
from voxlex.lossless.compiling import part, source_stamp, whole
from voxlex.lossless.mixing import NODES, Mixing, hash_of, start_mixing
from voxlex.lossless.tree import code_value, rank_of

DISTRIBUTIONS, CONTEXTS, HASHES, MIXERS = 5, 6, 5, 3

LEVELS = 4096
"""Coefficients lie between −2048 and 2047."""

_ZERO = LEVELS // 2
_EDGE = np.array([0.353553, 0.527722, 0.597239, 0.672375, 0.707107, 0.661874, 0.517982, 0.28521])
"""What a coefficient of each frequency adds to the picture at the edge of its block, carried on as a straight line."""

_ORDER = np.array(sorted(((u, v) for u in range(8) for v in range(8)), key=lambda p: (sum(p), p[0])), np.int64)[
    ::-1
].copy()
"""Row and column frequency of the coefficients, in the order in which they are coded."""


class Field(NamedTuple):
    """What the pass over the blocks knows.

    Attributes:
        values: Coefficients, with a block of zeros around the picture.
        sizes: Running mean of the error of each distribution, for each frequency and size of what lies around.
        guesses: Centres of the distributions, in steps.
        sums: What the lower frequencies along the upper and the left edge must add up to.
        traits: Sizes of what lies around a coefficient: nearby blocks, this block, number of coefficients so far.
    """

    values: np.ndarray
    sizes: np.ndarray
    guesses: np.ndarray
    sums: np.ndarray
    traits: np.ndarray


def start_field(rows: int, columns: int) -> Field:
    """Return a field in which nothing is coded."""
    return Field(
        values=np.zeros((rows + 1, columns + 2, 8, 8)),
        sizes=np.ones((DISTRIBUTIONS, 64, 16)),
        guesses=np.zeros(DISTRIBUTIONS),
        sums=np.zeros((2, 8)),
        traits=np.zeros(4),
    )


@part
@no_type_check
def _open_block(f, steps, row, column):
    """Set what the coefficients must add up to along the edges, and guess that the mean is like nearby."""
    above, beside = f.values[row, column + 1], f.values[row + 1, column]
    for k in range(8):
        f.sums[0, k], f.sums[1, k] = 0.0, 0.0
        sign = 1.0
        for u in range(8):
            f.sums[0, k] += sign * _EDGE[u] * above[u, k] * steps[u, k]
            f.sums[1, k] += sign * _EDGE[u] * beside[k, u] * steps[k, u]
            sign = -sign
    f.traits[3] = (
        above[0, 0] if column == 0 else beside[0, 0] if row == 0 else (above[0, 0] + beside[0, 0]) * 0.5
    ) * steps[0, 0]


@part
@no_type_check
def _guess(f, steps, row, column, u, v):
    """Set the centres of the distributions of a coefficient, and the sizes of what lies around it."""
    here, step = f.values[row + 1, column + 1], float(steps[u, v])
    above, beside = f.values[row, column + 1], f.values[row + 1, column]
    mean = f.traits[3] * _EDGE[0]
    down = (f.sums[0, v] - (mean if v == 0 and u > 0 else 0.0)) / (_EDGE[u] * step)
    right = (f.sums[1, u] - (mean if u == 0 and v > 0 else 0.0)) / (_EDGE[v] * step)
    f.guesses[0] = down if row > 0 else 0.0
    f.guesses[1] = right if column > 0 else 0.0
    f.guesses[2] = (down + right) * 0.5 if row > 0 and column > 0 else f.guesses[0] + f.guesses[1]
    f.guesses[3] = f.traits[3] / step if u + v == 0 else 0.0
    f.guesses[4] = above[0, 0] + beside[0, 0] - f.values[row, column, 0, 0] if u + v == 0 else 0.0
    near = 2.0 * abs(above[u, v]) + 2.0 * abs(beside[u, v])
    near += abs(f.values[row, column, u, v]) + abs(f.values[row, column + 2, u, v])
    f.traits[0] = near * 0.5
    inside = 0.0
    for du in range(3):
        for dv in range(3):
            if 0 < du + dv < 4 and u + du < 8 and v + dv < 8:
                weight = steps[u + du, v + dv] / (step * (du + dv))
                inside += abs(here[u + du, v + dv]) * weight
    f.traits[1] = inside


@part
@no_type_check
def _set_contexts(f, m, i, here, above, beside, u, v):
    near, inside = min(rank_of(f.traits[0]), 15), min(rank_of(f.traits[1]), 15)
    count = min(int(f.traits[2]), 15)
    if count > 7:
        count = 7 + (count - 7) // 2
    down, right, both = _lean(f.guesses[0]), _lean(f.guesses[1]), _lean(f.guesses[2])
    surround = near // 2 * 8 + inside // 2
    for k in range(DISTRIBUTIONS):
        m.centres[k] = _ZERO + max(min(f.guesses[k], 1500.0), -1500.0)
        m.scales[k] = f.sizes[k, i, near // 4 * 4 + inside // 4] * 0.72 + 0.05
    m.contexts[0], m.contexts[1] = i * 16 + near, i * 16 + inside
    m.contexts[2], m.contexts[3] = i * 16 + down, i * 16 + right
    m.contexts[4], m.contexts[5] = surround * 16 + both, i * 16 + count
    place = hash_of(i, np.uint64(0))
    m.hashes[0] = hash_of(int(above[u, v]), hash_of(int(beside[u, v]), place))
    below = int(here[u + 1, v]) if u < 7 else 99
    after = int(here[u, v + 1]) if v < 7 else 99
    m.hashes[1] = hash_of(below, hash_of(after, place + np.uint64(1)))
    m.hashes[2] = hash_of(int(f.guesses[2] * 2.0), hash_of(near, place + np.uint64(2)))
    m.hashes[3] = hash_of(count, hash_of(near // 2, hash_of(inside // 2, place + np.uint64(3))))
    m.hashes[4] = hash_of(down, hash_of(right, hash_of(near // 3, place + np.uint64(4))))
    m.situations[0], m.situations[1], m.situations[2] = i, surround, count
    m.corrections[0], m.corrections[1] = i, both * 4 + near // 4


@part
@no_type_check
def _lean(x):
    """Return the rank of a guess among 15."""
    size = abs(x)
    rank = 0
    for edge in (0.15, 0.35, 0.6, 1.0, 1.7, 3.0, 6.0):
        if size >= edge:
            rank += 1
    return 7 + rank if x > 0 else 7 - rank


@part
@no_type_check
def _code_block(f, m, coder, data, decoding, steps, row, column, block):
    """Code the coefficients of a block."""
    _open_block(f, steps, row, column)
    here = f.values[row + 1, column + 1]
    above, beside = f.values[row, column + 1], f.values[row + 1, column]
    f.traits[2] = 0.0
    for k in range(64):
        u, v = _ORDER[k]
        i = 63 - k
        _guess(f, steps, row, column, u, v)
        _set_contexts(f, m, i, here, above, beside, u, v)
        centre, width = _ZERO, 1
        if i == 0:
            centre = _ZERO + int(np.floor(f.guesses[2] + 0.5))
        value = code_value(m, coder, data, decoding, LEVELS, centre, width, int(block[u, v]) + _ZERO) - _ZERO
        block[u, v] = value
        here[u, v] = value
        place = min(rank_of(f.traits[0]), 15) // 4 * 4 + min(rank_of(f.traits[1]), 15) // 4
        for d in range(DISTRIBUTIONS):
            f.sizes[d, i, place] += (abs(value - f.guesses[d]) - f.sizes[d, i, place]) * 0.04
        f.sums[0, v] -= _EDGE[u] * value * steps[u, v]
        f.sums[1, u] -= _EDGE[v] * value * steps[u, v]
        if value != 0:
            f.traits[2] += 1.0


def _compile(stamp: str) -> Callable[..., bool]:
    """Return the compiled pass over all blocks. `stamp` says which source it was compiled from."""

    @whole
    @no_type_check
    def code_blocks(f, m, coder, data, decoding, steps, blocks):
        """Encode coefficients, or decode them in place.

        Args:
            f: The field.
            m: The mixing.
            coder: State of the coder.
            data: Bytes to write or to read.
            decoding: Whether to decode.
            steps: Steps of the coefficients.
            blocks: Coefficients in steps, of shape (block rows, block columns, 8, 8).

        Returns:
            Whether the bytes to write suffice.
        """
        _ = stamp
        for row in range(blocks.shape[0]):
            for column in range(blocks.shape[1]):
                if not decoding and is_full(coder, data, 64):
                    return False
                _code_block(f, m, coder, data, decoding, steps, row, column, blocks[row, column])
        return True

    return code_blocks


code_blocks = _compile(source_stamp())


def start_mixing_of_coefficients() -> Mixing:
    """Return a mixing for the coefficients of a picture."""
    return start_mixing(
        weights=np.full((NODES, DISTRIBUTIONS + CONTEXTS + HASHES + 1), 0.1),
        distributions=DISTRIBUTIONS,
        contexts=CONTEXTS,
        hashes=HASHES,
        situations=MIXERS,
        hash_bits=16,
    )
