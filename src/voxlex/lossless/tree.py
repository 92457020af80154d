"""A value as a series of decisions, around where it is expected."""

from typing import no_type_check

import numpy as np

from voxlex.lossless.compiling import part
from voxlex.lossless.mixing import code_threshold, open_interval

_STEPS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 4096, 1 << 14, 1 << 16, 1 << 24])
_UP, _DOWN, _INSIDE, _LAST = 1, 24, 48, 20
_RANKS = np.array([0.25, 0.5, 0.8, 1.2, 1.7, 2.3, 3.0, 4.0, 5.5, 7.5, 10.0, 14.0, 20.0, 40.0, 100.0])


@part
@no_type_check
def rank_of(x):
    """Return the rank of an error among 16."""
    rank = 0
    while rank < len(_RANKS) and x >= _RANKS[rank]:
        rank += 1
    return rank


@part
@no_type_check
def code_value(m, coder, data, decoding, levels, centre, width, value):
    """Code a value between 0 and `levels` − 1, and return it.

    Is it at least the centre? Then, is it at least one width more, two widths, three, and so on, further each time, or
    the same downwards? The interval that is left is halved until one value remains.

    Args:
        m: The mixing, with distributions and contexts set.
        coder: State of the coder.
        data: Its bytes.
        decoding: Whether to decode.
        levels: Number of values that are possible.
        centre: The value that is expected.
        width: Unit of the steps.
        value: The value, when encoding.
    """
    low, high, node, step = 0, levels, 0, 0
    threshold = max(centre, 1)
    open_interval(m)
    while high - low > 1:
        bit = code_threshold(m, coder, data, decoding, node, threshold, 1 if value >= threshold else 0)
        if bit:
            low = threshold
        else:
            high = threshold
        if node == 0:
            node = _UP if bit else _DOWN
        elif (node < _DOWN and bit) or (_DOWN <= node < _INSIDE and not bit):
            node, step = node + 1, step + 1
        else:
            node = _INSIDE + 2 * step
        threshold = centre + _STEPS[step] * width if node < _DOWN else centre - _STEPS[step] * width
        if node >= _INSIDE or threshold <= low or threshold >= high:
            node, threshold = _INSIDE + 2 * step, (low + high) // 2
    return low
