"""Damaged bytes give a clear error or the exact values, in little time and memory; `VOXLEX_FUZZ=2000` tries more."""

import os
import zlib

import numpy as np
import pytest

from lossless.arrays import former_jpeg, noise, picture, volume
from voxlex.errors import DataError
from voxlex.lossless import decode, encode

TRIES = int(os.environ.get("VOXLEX_FUZZ", "60"))
SMALL = {
    "picture": picture(12, 14),
    "volume": volume()[:2, :10, :12],
    "jpeg": former_jpeg(2, 3),
    "palette": picture(9, 9) % 3 * 99,
}


@pytest.mark.parametrize("name", SMALL)
def test_a_mutation_is_an_error_or_changes_nothing(name: str) -> None:
    data = encode(SMALL[name])
    choices = noise(TRIES * 3).reshape(TRIES, 3)
    for kind, place, value in choices:
        at = int(place) % len(data)
        changed = bytearray(data)
        if kind % 4 == 0:
            changed[at] ^= 1 << int(value) % 8
        elif kind % 4 == 1:
            changed = changed[:at]
        elif kind % 4 == 2:
            changed[at:at] = bytes([int(value) % 256] * (1 + int(value) % 5))
        else:
            del changed[at : at + 1 + int(value) % 5]
        unchanged_or_refused(bytes(changed), SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_a_mutation_with_a_right_checksum_is_an_error_or_changes_nothing(name: str) -> None:
    """The checksum finds mutations, so without it the decoder itself is tried."""
    data = encode(SMALL[name])
    start = 2 + SMALL[name].ndim + 4
    for place, value in noise(TRIES * 2).reshape(TRIES, 2):
        body = bytearray(data[start + 4 :])
        body[int(place) % len(body)] = int(value) % 256
        checksum = zlib.crc32(body, zlib.crc32(data[:start]))
        unchanged_or_refused(data[:start] + checksum.to_bytes(4, "little") + bytes(body), SMALL[name])


def unchanged_or_refused(data: bytes, values: np.ndarray) -> None:
    try:
        found: np.ndarray | str = decode(data, largest=10_000)
    except DataError as error:
        found = str(error)
    if isinstance(found, str):
        assert found.startswith("lossless data: expected")
    else:
        assert np.array_equal(found, values)


def test_every_cut_is_refused() -> None:
    data = encode(picture(12, 14))
    for length in range(len(data)):
        with pytest.raises(DataError, match="damaged or cut"):
            decode(data[:length])
