"""The bytes around coded values: what they are, and checksums of the bytes and of the values."""

import zlib
from typing import NamedTuple

import numpy as np

from voxlex.errors import DataError

VERSION = 1

STORED, MODELLED, BLOCKS = 0, 1, 2
"""Deflated values, values coded by a model, and a picture as coefficients of blocks."""

DTYPES = tuple(np.dtype(name) for name in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"))

DAMAGED = "lossless data: expected bytes as they were written, got damaged or cut ones"


class Head(NamedTuple):
    """What stands before the coded values.

    Attributes:
        kind: How the values are coded.
        dtype: Their kind of number.
        shape: Their shape.
        hinted: Whether a prediction is needed to decode them.
        checksum: CRC-32 of the values, in little-endian order.
    """

    kind: int
    dtype: np.dtype
    shape: tuple[int, ...]
    hinted: bool
    checksum: int


def head_of(values: np.ndarray, *, kind: int, hinted: bool) -> Head:
    """Return the head for an array."""
    return Head(kind, values.dtype.newbyteorder("="), values.shape, hinted, checksum_of(values))


def checksum_of(values: np.ndarray) -> int:
    """Return the CRC-32 of values in little-endian order."""
    return zlib.crc32(little_endian(values))


def little_endian(values: np.ndarray) -> bytes:
    """Return the bytes of values in little-endian order."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def join(head: Head, body: bytes) -> bytes:
    """Return the head, a checksum over everything else, and the body."""
    flags = DTYPES.index(head.dtype) | (len(head.shape) == 3) << 3 | head.hinted << 4
    start = bytes([VERSION << 4 | head.kind, flags]) + b"".join(number(side) for side in head.shape)
    start += head.checksum.to_bytes(4, "little")
    return start + zlib.crc32(body, zlib.crc32(start)).to_bytes(4, "little") + body


def split(data: bytes) -> tuple[Head, bytes]:
    """Return the head and the body.

    Raises:
        DataError: If the bytes are damaged, or a newer version wrote them.
    """
    try:
        first, flags, at, shape = data[0], data[1], 2, []
        if first >> 4 > VERSION:
            raise DataError(f"lossless data: expected version {VERSION} or older, got {first >> 4}: update voxlex")
        for _ in range(3 if flags >> 3 & 1 else 2):
            side, at = read_number(data, at)
            shape.append(side)
    except IndexError:
        raise DataError(DAMAGED) from None
    checksum, whole = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
    body = data[at + 8 :]
    sound = zlib.crc32(body, zlib.crc32(data[: at + 4])) == whole and len(data) >= at + 8
    if not sound or first >> 4 != VERSION or first & 15 > BLOCKS or flags >> 5:
        raise DataError(DAMAGED)
    return Head(first & 15, DTYPES[flags & 7], tuple(shape), bool(flags >> 4 & 1), checksum), body


def number(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first; the eighth bit says that another group follows."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of at most 70 bits that begins at a place, and the place after it."""
    value = shift = 0
    while data[at] > 127 and shift < 63:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | (data[at] & 127) << shift, at + 1
