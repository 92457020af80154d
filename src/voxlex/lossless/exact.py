"""Exponential and logarithm from operations that every processor rounds alike.

IEEE 754 defines the result of +, −, ×, ÷ and of comparisons to the last bit. It does not define exp and log, and the
libraries of two systems differ there. The functions below use only what is defined, in one fixed order. numba compiles
them without leave to reorder sums or to fuse a product with a sum, so they give the same bits on every processor.
Numbers stay far from the smallest that float64 can hold, so that it does not matter whether a processor flushes them.
"""

from typing import no_type_check

import numpy as np
from numba import njit

_POWERS = np.array([2.0**n for n in range(-64, 65)])
_LN2_HIGH, _LN2_LOW, _LOG2_E = 0.693145751953125, 1.42860682030941723212e-6, 1.4426950408889634
_LN2, _ROOT2 = 0.6931471805599453, 1.4142135623730951


@njit(error_model="numpy")
@no_type_check
def exponential(x):
    """Return e^x for |x| < 40: 2^n e^r with |r| ≤ ln 2 / 2, and the Taylor polynomial of degree 7 in r."""
    n = np.floor(x * _LOG2_E + 0.5)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _POWERS[int(n) + 64]


@njit(error_model="numpy")
@no_type_check
def logarithm(x):
    """Return ln x for 2^−60 < x < 2^60: n ln 2 + ln m with m near 1, and ln m = 2 artanh((m − 1) / (m + 1))."""
    n = 0
    step = 32
    while step > 0:
        if x >= _POWERS[64 + step]:
            x = x * _POWERS[64 - step]
            n += step
        elif x < _POWERS[65 - step]:
            x = x * _POWERS[64 + step]
            n -= step
        step //= 2
    if x >= 2.0:
        x, n = x * 0.5, n + 1
    if x < 1.0:
        x, n = x * 2.0, n - 1
    if x > _ROOT2:
        x, n = x * 0.5, n + 1
    t = (x - 1.0) / (x + 1.0)
    q = t * t
    s = 1.0 / 11.0
    s = s * q + 1.0 / 9.0
    s = s * q + 1.0 / 7.0
    s = s * q + 1.0 / 5.0
    s = s * q + 1.0 / 3.0
    s = s * q + 1.0
    return 2.0 * t * s + n * _LN2


@njit(error_model="numpy")
@no_type_check
def squash(x):
    """Return the logistic function of a logit, |x| < 40."""
    return 1.0 / (1.0 + exponential(-x))


@njit(error_model="numpy")
@no_type_check
def stretch(p):
    """Return the logit of a probability, ln(p / (1 − p))."""
    return logarithm(p / (1.0 - p))


@njit(error_model="numpy")
@no_type_check
def clip(x, low, high):
    """Return the number in the range that is nearest to `x`."""
    return min(max(x, low), high)
