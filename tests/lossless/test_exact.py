"""The functions are right, and the coder takes as few bytes as the probabilities say."""

import io
import math

import numpy as np
import pytest
from numba import njit
from PIL import Image

from lossless.arrays import noise, picture
from voxlex.lossless.blocks import Blocks, draw_blocks, find_blocks
from voxlex.lossless.coder import PRECISION, code_bit, finish, start_decoding, start_encoding
from voxlex.lossless.exact import exponential, logarithm


@njit
def code_all(coder, data, decoding, one, bits):
    for k in range(len(bits)):
        bits[k] = code_bit(coder, data, decoding, one, bits[k])


def test_exponential_and_logarithm_are_close_to_those_of_the_standard_library() -> None:
    for x in np.linspace(-39, 39, 157):
        assert exponential(x) == pytest.approx(math.exp(x), rel=1e-7)
    for x in np.geomspace(1e-17, 1e17, 157):
        assert logarithm(x) == pytest.approx(math.log(x), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("one", [1, 1 << 10, 1 << 21, (1 << PRECISION) - 1])
def test_the_coder_returns_the_bits_and_takes_no_more_bytes_than_it_must(one: int) -> None:
    p = one / (1 << PRECISION)
    bits = (noise(4000) < p * 65536).astype(np.int64)
    data, coder = np.zeros(20_000, np.uint8), start_encoding()
    code_all(coder, data, False, one, bits.copy())
    coded = finish(coder, data)
    least = sum(-math.log2(p if bit else 1 - p) for bit in bits) / 8
    assert least - 1 <= len(coded) <= least * 1.001 + 2
    read, found = np.frombuffer(coded, np.uint8).copy(), np.zeros_like(bits)
    code_all(start_decoding(read), read, True, one, found)
    assert np.array_equal(found, bits)


@pytest.mark.parametrize("quality", [20, 50, 75])
def test_the_coefficients_of_a_jpeg_are_found(quality: int) -> None:
    multiples = np.zeros((6, 6, 8, 8), np.int64)
    multiples[:, :, :3, :3] = noise(324).reshape(6, 6, 3, 3) // 16384 - 2
    drawn = draw_blocks(Blocks(quality, multiples), (48, 48))
    found = find_blocks(drawn)
    assert found is not None
    assert np.array_equal(draw_blocks(found, (48, 48)), drawn)


def test_blocks_are_drawn_as_pillow_draws_them() -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(64, 80)).save(stream, "JPEG", quality=75)
    decoded = np.asarray(Image.open(stream))
    found = find_blocks(decoded)
    assert found is not None
    assert found.quality == 75
    assert np.array_equal(draw_blocks(found, decoded.shape), decoded)


def test_a_picture_that_was_not_a_jpeg_has_no_blocks() -> None:
    assert find_blocks(picture(64, 80)) is None
    assert find_blocks(np.zeros((64, 64), np.uint8)) is None
