"""A range coder of binary decisions, in integers of 64 bits (Martin 1979; the carry is added to bytes already written).

The state is an array of four numbers: the lower end of the interval, its size, the number of bytes written or read, and
the number that the decoder reads, relative to the lower end.
"""

from typing import no_type_check

import numpy as np

from voxlex.lossless.compiling import part

PRECISION = 22
"""A probability is a number of 2^−22, so that a decision that is nearly sure costs nearly nothing."""

MOST_BYTES = 128
"""More than a value can take: it is 50 decisions at most, of 17 bits each."""

_LOW, _SIZE, _PLACE, _CODE = 0, 1, 2, 3
_WHOLE, _SMALL, _BYTE = np.uint64(1 << 56), np.uint64(1 << 48), np.uint64(8)
_SHIFT, _TOP = np.uint64(PRECISION), np.uint64(48)


def start_encoding() -> np.ndarray:
    """Return the state of an encoder that has written nothing."""
    return np.array([0, 1 << 56, 0, 0], np.uint64)


def start_decoding(data: np.ndarray) -> np.ndarray:
    """Return the state of a decoder at the first of these bytes. After the last byte, it reads zeros."""
    first = data[:7].tobytes().ljust(7, b"\0")
    return np.array([0, 1 << 56, 7, int.from_bytes(first, "big")], np.uint64)


@part
@no_type_check
def code_bit(state, data, decoding, one, bit):
    """Encode a bit, or decode and return it.

    Args:
        state: State of the coder, which changes.
        data: Bytes to write into, or to read from.
        decoding: Whether to decode.
        one: Probability that the bit is 1, times 2^22, between 1 and 2^22 − 1.
        bit: The bit to encode.
    """
    bound = (state[_SIZE] >> _SHIFT) * np.uint64(one)
    if decoding:
        bit = 1 if state[_CODE] < bound else 0
    if bit:
        state[_SIZE] = bound
    else:
        state[_SIZE] -= bound
        state[_CODE if decoding else _LOW] += -bound if decoding else bound
    while state[_SIZE] < _SMALL:
        state[_SIZE] <<= _BYTE
        if decoding:
            _read(state, data)
        else:
            _write(state, data)
    return bit


@part
@no_type_check
def _read(state, data):
    place = np.int64(state[_PLACE])
    state[_CODE] = (state[_CODE] << _BYTE) | (np.uint64(data[place]) if place < len(data) else np.uint64(0))
    state[_PLACE] += np.uint64(1)


@part
@no_type_check
def _write(state, data):
    place = np.int64(state[_PLACE])
    if state[_LOW] >= _WHOLE:
        carry = place - 1
        while data[carry] == 255:
            data[carry] = 0
            carry -= 1
        data[carry] += np.uint8(1)
        state[_LOW] -= _WHOLE
    data[place] = np.uint8(state[_LOW] >> _TOP)
    state[_LOW] = (state[_LOW] & (_SMALL - np.uint64(1))) << _BYTE
    state[_PLACE] += np.uint64(1)


@part
@no_type_check
def is_full(state, data, values):
    """Return whether the bytes may not suffice for this many values more."""
    return np.int64(state[_PLACE]) + MOST_BYTES * values > len(data)


def finish(state: np.ndarray, data: np.ndarray) -> bytes:
    """Return the bytes of an encoder: the fewest that lie in its interval, with zeros read after them."""
    low, size, body = int(state[_LOW]), int(state[_SIZE]), data[: int(state[_PLACE])].tobytes()
    rounded = (-(-low >> zeros) << zeros for zeros in range(56, -1, -1))
    end = next(value for value in rounded if value < low + size)
    if end >> 56:
        body = (int.from_bytes(body, "big") + 1).to_bytes(len(body), "big")
    return (body + (end % (1 << 56)).to_bytes(7, "big")).rstrip(b"\0")
