"""Code a picture or a volume value by value, each from what is already coded.

Several experts expect each value: least squares over a window, with a long memory, and simple ones. Their blend,
weighed by how well they did nearby, is the centre of a tree of decisions: is the value at least the centre, at least
one more, at least two more, and so on, and then halves of the interval that is left. `mixing` says how likely each
decision is.

Where all neighbours are equal, one decision says whether the value is the same.
"""

from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np

from voxlex.lossless.coder import is_full
from voxlex.lossless.compiling import part, source_stamp, whole
from voxlex.lossless.exact import clip
from voxlex.lossless.mixing import NODES, Mixing, code_decision, hash_of, start_mixing
from voxlex.lossless.regression import HINT, MARGIN, look, regress, remember
from voxlex.lossless.tree import code_value, rank_of

EXPERTS = 10
"""Least squares with three numbers of neighbours, with a long memory, and six simple expectations."""

DISTRIBUTIONS, CONTEXTS, HASHES, MIXERS = EXPERTS + 2, 6, 5, 3

_SAME = 95
_FLAT = 12
"""Number of neighbours that must be equal for the decision whether the value is the same."""


class Scene(NamedTuple):
    """What the pass over the values knows.

    Attributes:
        planes: The slice that is coded, three slices before it, its prediction and that of the slice before, padded.
        errors: Absolute error of each expert, and of their blend, in this slice and the one before.
        expected: What each expert, and their blend, expect.
        expected_errors: Their errors nearby.
        bias: Mean error of the blend in each context.
        bias_counts: How often the context was seen.
    """

    planes: np.ndarray
    errors: np.ndarray
    expected: np.ndarray
    expected_errors: np.ndarray
    bias: np.ndarray
    bias_counts: np.ndarray


def start_scene(height: int, width: int) -> Scene:
    """Return a scene in which nothing is coded."""
    padded = (height + 2 * MARGIN, width + 2 * MARGIN)
    return Scene(
        planes=np.zeros((6, *padded)),
        errors=np.zeros((2, *padded, EXPERTS + 1), np.float32),
        expected=np.zeros(EXPERTS + 1),
        expected_errors=np.zeros(EXPERTS + 1),
        bias=np.zeros(64 * 16),
        bias_counts=np.zeros(64 * 16),
    )


@part
@no_type_check
def _next_slice(s, z, hints, levels):
    hinted = len(hints) > 0
    _, rows, columns = s.planes.shape
    for y in range(rows):
        for x in range(columns):
            for back in range(3, 0, -1):
                s.planes[back, y, x] = s.planes[back - 1, y, x]
            s.planes[HINT + 1, y, x] = s.planes[HINT, y, x]
            if hinted:
                row = min(max(y - MARGIN, 0), hints.shape[1] - 1)
                s.planes[HINT, y, x] = hints[z, row, min(max(x - MARGIN, 0), hints.shape[2] - 1)]
            if z == 0 and y < MARGIN:
                s.planes[0, y, x] = s.planes[HINT, y, x] if hinted else levels // 2
            for k in range(EXPERTS + 1):
                s.errors[1, y, x, k] = s.errors[0, y, x, k]


@part
@no_type_check
def _fill_margins(plane, y, width):
    """Set what lies beside a row to the nearest values of the row before."""
    for x in range(MARGIN):
        plane[y, x] = plane[y - 1, MARGIN]
        plane[y, width + MARGIN + x] = plane[y - 1, width + MARGIN - 1]


@part
@no_type_check
def _code_value(s, r, m, coder, data, decoding, levels, z, y, x, width, height, count, value):
    Y, X = y + MARGIN, x + MARGIN
    mean = look(r, s.planes, Y, X)
    flat = True
    for j in range(min(len(r.neighbours), _FLAT)):
        flat = flat and r.here[j] == 0.0
    if flat:
        _flat_contexts(s, m, Y, X, mean)
        same = code_decision(m, coder, data, decoding, _SAME, int(mean), 1 if value == int(mean) else 0)
        if same:
            s.planes[0, Y, X] = mean
            for k in range(EXPERTS + 1):
                s.errors[0, Y, X, k] = 0.0
            return int(mean)
    regress(r, s.planes, Y, X, width, height, mean, s.expected)
    _simple_experts(s, Y, X, z > 0)
    for k in range(EXPERTS):
        s.expected[k] = clip(s.expected[k], 0.0, levels - 1.0)
    context = _blend(s, r, Y, X, mean, z > 0, levels)
    _contexts(s, m, Y, X, context)
    centre, width = int(np.floor(s.expected[EXPERTS] + 0.5)), 1
    while s.expected_errors[EXPERTS] > 6.0 * width:
        width *= 2
    value = code_value(m, coder, data, decoding, levels, centre, width, value)
    s.planes[0, Y, X] = value
    for k in range(EXPERTS + 1):
        s.errors[0, Y, X, k] = abs(value - s.expected[k])
    s.bias_counts[context] = min(s.bias_counts[context] + 1.0, 60.0)
    s.bias[context] += (value - s.expected[EXPERTS]) / (s.bias_counts[context] + 4.0)
    remember(r, value - mean, count)
    return value


@part
@no_type_check
def _flat_contexts(s, m, y, x, value):
    """Set contexts for the decision whether a value in a flat place is the same."""
    far = 0
    for k in range(3, 7):
        far = far * 2 + (1 if s.planes[0, y - k, x] == value else 0)
        far = far * 2 + (1 if s.planes[0, y - 3, x + k] == value else 0)
    before = 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            before += 1 if s.planes[1, y + dy, x + dx] == value else 0
    apart = rank_of(abs(s.planes[HINT, y, x] - value))
    m.contexts[0], m.contexts[1], m.contexts[2] = far, before * 16 + apart, far & 63
    m.contexts[3], m.contexts[4], m.contexts[5] = apart, before, 0
    key = hash_of(int(value), np.uint64(9))
    for k in range(HASHES):
        m.hashes[k] = hash_of(k, key)
    m.situations[0], m.situations[1], m.situations[2] = 0, apart, before
    m.corrections[0], m.corrections[1] = before, apart
    for k in range(DISTRIBUTIONS):
        m.inputs[k] = 0.0


@part
@no_type_check
def _simple_experts(s, y, x, deep):
    """Set what simple rules expect: gradients, an edge, the slice before, and the prediction."""
    p = s.planes[0]
    west, north, corner, east = p[y, x - 1], p[y - 1, x], p[y - 1, x - 1], p[y - 1, x + 1]
    s.expected[4] = (west + north) * 0.5 + (east - corner) * 0.25
    s.expected[5] = clip(west + north - corner, min(west, north), max(west, north))
    s.expected[6] = north + east - p[y - 2, x + 1]
    before = s.planes[1]
    s.expected[7] = before[y, x] if deep else 2.0 * west - p[y, x - 2]
    rise = (west - before[y, x - 1] + north - before[y - 1, x]) * 0.5
    s.expected[8] = before[y, x] + rise if deep else 2.0 * north - p[y - 2, x]
    s.expected[9] = s.planes[HINT, y, x]


@part
@no_type_check
def _blend(s, r, y, x, mean, deep, levels):
    """Weigh the experts by the inverse sixth power of their errors nearby, and return the context of the bias."""
    total, weight_sum = 0.0, 0.0
    now, before = s.errors[0], s.errors[1]
    for k in range(EXPERTS + 1):
        e = 2.0 * now[y, x - 1, k] + 2.0 * now[y - 1, x, k] + now[y - 1, x - 1, k] + now[y - 1, x + 1, k]
        e = (e + now[y, x - 2, k] + now[y - 2, x, k]) * 0.125
        if deep:
            e = 0.7 * e + 0.3 * before[y, x, k]
        s.expected_errors[k] = e
        if k < EXPERTS:
            square = e * e + 0.1
            weight = 1.0 / (square * square * square)
            total += weight * s.expected[k]
            weight_sum += weight
    blend = total / weight_sum
    pattern = 0
    for j in range(6):
        pattern = pattern * 2 + (1 if r.here[j] + mean > blend else 0)
    context = pattern * 16 + rank_of(s.expected_errors[EXPERTS])
    s.expected[EXPERTS] = clip(blend + s.bias[context], 0.0, levels - 1.0)
    return context


@part
@no_type_check
def _lean(x, first, second, third):
    """Return the rank of a difference among 7."""
    size = abs(x)
    rank = (1 if size > first else 0) + (1 if size > second else 0) + (1 if size > third else 0)
    return 3 + rank if x > 0 else 3 - rank


@part
@no_type_check
def _contexts(s, m, y, x, context):
    """Set the distributions and the contexts for the decisions of a value."""
    blend, error = s.expected[EXPERTS], s.expected_errors[EXPERTS]
    for k in range(EXPERTS + 1):
        m.centres[k], m.scales[k] = s.expected[k], s.expected_errors[k] * 0.6 + 0.12
    m.centres[EXPERTS + 1], m.scales[EXPERTS + 1] = blend, error * 1.8 + 0.4
    rank, pattern = context & 15, context >> 4
    part = int((blend + 0.5 - np.floor(blend + 0.5)) * 8)
    first, long = _lean(s.expected[0] - blend, 0.3, 1.0, 3.0), _lean(s.expected[3] - blend, 0.3, 1.0, 3.0)
    last = _lean(s.expected[9] - blend, 0.5, 2.0, 8.0)
    west, north = rank_of(s.errors[0, y, x - 1, EXPERTS]) // 2, rank_of(s.errors[0, y - 1, x, EXPERTS]) // 2
    m.contexts[0] = rank * 8 + part
    m.contexts[1] = pattern * 4 + rank // 4
    m.contexts[2] = first * 8 + part + 56 * (rank // 4)
    m.contexts[3] = (y & 7) * 8 + (x & 7) + 64 * (rank // 4)
    m.contexts[4] = first * 49 + long * 7 + last
    m.contexts[5] = west * 8 + north + 64 * (rank_of(s.expected_errors[3]) // 2)
    p = s.planes[0]
    sides = hash_of(int(p[y - 1, x]), hash_of(int(p[y, x - 1]), np.uint64(1)))
    m.hashes[0] = hash_of(int(blend * 2.0), np.uint64(0))
    m.hashes[1] = sides
    m.hashes[2] = hash_of(int(p[y - 1, x + 1]), hash_of(int(p[y - 1, x - 1]), sides))
    m.hashes[3] = hash_of(int(s.planes[1, y, x]), sides + np.uint64(2))
    m.hashes[4] = hash_of(rank, hash_of(int(s.expected[0]), hash_of(int(s.planes[1, y, x]), np.uint64(4))))
    m.situations[0], m.situations[1], m.situations[2] = 0, rank, west * 8 + north
    m.corrections[0], m.corrections[1] = rank, long * 8 + part


def _compile(stamp: str) -> Callable[..., bool]:
    """Return the compiled pass over a slice. `stamp` says which source it was compiled from."""

    @whole
    @no_type_check
    def code_slice(s, r, m, coder, data, decoding, levels, hints, values, z):
        """Encode the values of a slice, between 0 and `levels` − 1, or decode them in place.

        Args:
            s: The scene.
            r: The regressions.
            m: The mixing.
            coder: State of the coder.
            data: Bytes to write or to read.
            decoding: Whether to decode.
            levels: Number of values that are possible.
            hints: Prediction of all values, or an array without slices.
            values: The values of all slices.
            z: Number of the slice. Those before it are coded.

        Returns:
            Whether the bytes to write suffice.
        """
        _ = stamp
        _, height, width = values.shape
        count = z * height * width
        _next_slice(s, z, hints, levels)
        for y in range(height):
            _fill_margins(s.planes[0], y + MARGIN, width)
            for x in range(width):
                if not decoding and is_full(coder, data, 1):
                    return False
                count += 1
                values[z, y, x] = _code_value(
                    s, r, m, coder, data, decoding, levels, z, y, x, width, height, count, values[z, y, x]
                )
            for x in range(MARGIN):
                s.planes[0, y + MARGIN, width + MARGIN + x] = s.planes[0, y + MARGIN, width + MARGIN - 1]
        return True

    return code_slice


code_slice = _compile(source_stamp())


def start_mixing_of_values(count: int) -> Mixing:
    """Return a mixing for this number of values."""
    weights = np.zeros((NODES, DISTRIBUTIONS + CONTEXTS + HASHES + 1))
    weights[:, :4], weights[:, EXPERTS], weights[:, DISTRIBUTIONS:-1] = 0.12, 0.3, 0.05
    return start_mixing(
        weights=weights,
        distributions=DISTRIBUTIONS,
        contexts=CONTEXTS,
        hashes=HASHES,
        situations=MIXERS,
        hash_bits=min(max(count.bit_length() + 2, 12), 20),
    )
