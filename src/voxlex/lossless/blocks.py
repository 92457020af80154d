"""Pictures that were a JPEG once: the coefficients of their blocks, found from the values.

JPEG keeps, for each block of 8×8 values, the coefficients of a cosine transform as multiples of steps, and the values
follow from them by integer arithmetic. The values of a decoded picture are many, and its coefficients few. So where the
steps and multiples can be found from the values, they are the better thing to store. Rounding moves a coefficient by
about 0.29, so that steps of 2 and more show. Values that were cut at 0 or 255 say less, and need a search.

References:
    Wallace, "The JPEG still picture compression standard", 1992.
    Fan and de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer estimation", 2003.
    Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", 1989.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import dctn, idctn

_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""The steps that the standard gives as an example (Annex K), which most encoders scale by a quality."""

_SAMPLE = 64
"""Number of blocks that the steps are estimated from."""

_NOISE = 0.35
"""Largest mean distance of coefficients from their multiples; rounding causes 0.23."""

_MOST = 2047
"""Largest multiple that is coded; a picture of 8 bits needs no larger ones."""

_PASSES = 60
"""Passes of the search for the coefficients of blocks with values that were cut."""


class Blocks(NamedTuple):
    """Coefficients of a picture.

    Attributes:
        quality: Quality of the steps, from 1 to 100.
        multiples: Coefficients in steps, of shape (block rows, block columns, 8, 8), the row frequency first.
    """

    quality: int
    multiples: np.ndarray


def steps_of(quality: int) -> np.ndarray:
    """Return the steps of a quality from 1 to 100, as the Independent JPEG Group defined it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_LUMINANCE * scale + 50) // 100, 1, 255)


def find_blocks(values: np.ndarray) -> Blocks | None:
    """Return the coefficients of a picture of 8 bits, or None if it was not a JPEG, as far as can be seen."""
    if values.dtype != np.uint8 or values.ndim != 2 or min(values.shape) < 16:
        return None
    blocks = _split(values)
    coefficients = dctn(blocks - 128.0, axes=(-2, -1), norm="ortho")
    whole = ((blocks > 0) & (blocks < 255)).all(axis=(-2, -1))
    quality = _quality(blocks[whole], coefficients[whole])
    if quality is None:
        return None
    multiples = _search(blocks, coefficients, steps_of(quality))
    return Blocks(quality, multiples)


def draw_blocks(blocks: Blocks, shape: tuple[int, int]) -> np.ndarray:
    """Return the values of a picture by the integer transform that most decoders use (13 bits of precision)."""
    values = _inverse(blocks.multiples * steps_of(blocks.quality))
    rows, columns = values.shape[:2]
    return values.transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8)[: shape[0], : shape[1]].astype(np.uint8)


def _split(values: np.ndarray) -> np.ndarray:
    """Return blocks of 8×8 values; those at the edge are filled with copies of the last values."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % 8), (0, -width % 8)), mode="edge").astype(np.int64)
    return padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8).transpose(0, 2, 1, 3)


def _quality(blocks: np.ndarray, coefficients: np.ndarray) -> int | None:
    """Return the quality whose multiples give most of these blocks back, the lowest of equals."""
    if len(blocks) < 4:
        return None
    chosen = np.linspace(0, len(blocks) - 1, min(len(blocks), _SAMPLE)).astype(int)
    blocks, coefficients = blocks[chosen], coefficients[chosen]
    best, least = None, 0.5
    for quality in range(1, 98):
        steps = steps_of(quality)
        multiples = np.round(coefficients / steps).astype(np.int64)
        if np.abs(coefficients - multiples * steps).mean() > _NOISE:
            continue
        wrong = float(_wrong(multiples, steps, blocks).mean())
        if wrong < least:
            best, least = quality, wrong
    return best


def _search(blocks: np.ndarray, coefficients: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return multiples that give the values back, as far as they are found.

    Where values were cut, what they were before is unknown. The search goes between two sets: pictures that agree with
    the values, and multiples of the steps.
    """
    multiples = np.round(coefficients / steps).astype(np.int64)
    wrong = np.flatnonzero(_wrong(multiples, steps, blocks).reshape(-1))
    target, flat = blocks.reshape(-1, 8, 8), multiples.reshape(-1, 8, 8)
    current = flat[wrong]
    for _ in range(_PASSES):
        if not len(wrong):
            break
        free = idctn(current * steps.astype(float), axes=(-2, -1), norm="ortho") + 128.0
        goal = target[wrong]
        goal = np.where((goal == 0) & (free < 0.5) | (goal == 255) & (free > 254.5), free, goal)
        current = np.round(dctn(goal - 128.0, axes=(-2, -1), norm="ortho") / steps).astype(np.int64)
        flat[wrong] = current
        left = _wrong(current, steps, target[wrong])
        wrong, current = wrong[left], current[left]
    return np.clip(flat, -_MOST, _MOST).reshape(multiples.shape)


def _wrong(multiples: np.ndarray, steps: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    return (_inverse(multiples * steps) != blocks).any(axis=(-2, -1))


def _inverse(coefficients: np.ndarray) -> np.ndarray:
    """Return the values of blocks of coefficients."""
    columns = _inverse_line(coefficients.astype(np.int64), -2, 11)
    return np.clip(_inverse_line(columns, -1, 18) + 128, 0, 255)


def _inverse_line(x: np.ndarray, axis: int, shift: int) -> np.ndarray:
    """Return the inverse cosine transform of eight numbers, with factors of 2^13, rounded to 2^shift."""
    c = [np.take(x, k, axis=axis) for k in range(8)]
    turned = (c[2] + c[6]) * 4433
    low, high = turned - c[6] * 15137, turned + c[2] * 6270
    plus, minus = (c[0] + c[4]) << 13, (c[0] - c[4]) << 13
    even = [plus + high, minus + low, minus - low, plus - high]
    outer, inner = (c[7] + c[1]) * -7373, (c[5] + c[3]) * -20995
    both = (c[7] + c[3] + c[5] + c[1]) * 9633
    first, second = both - (c[7] + c[3]) * 16069, both - (c[5] + c[1]) * 3196
    odd = [
        c[1] * 12299 + outer + second,
        c[3] * 25172 + inner + first,
        c[5] * 16819 + inner + second,
        c[7] * 2446 + outer + first,
    ]
    lines = [e + o for e, o in zip(even, odd, strict=True)]
    lines += [e - o for e, o in zip(even[::-1], odd[::-1], strict=True)]
    return np.stack([(line + (1 << (shift - 1))) >> shift for line in lines], axis=axis)
