"""Integer arrays to bytes and back, bit for bit. The layout of the bytes is described in docs/lossless.md."""

import zlib
from collections.abc import Callable

import numpy as np

from voxlex.errors import DataError
from voxlex.lossless import coefficients, pixels
from voxlex.lossless.blocks import Blocks, draw_blocks, find_blocks, steps_of
from voxlex.lossless.coder import MOST_BYTES, finish, start_decoding, start_encoding
from voxlex.lossless.container import (
    BLOCKS,
    DAMAGED,
    MODELLED,
    STORED,
    Head,
    checksum_of,
    head_of,
    join,
    little_endian,
    number,
    read_number,
    split,
)
from voxlex.lossless.ranks import MOST_LEVELS, from_ranks, ranks_for, read_ranks, to_ranks, write_ranks
from voxlex.lossless.regression import start_regression

_NO_HINTS = np.zeros((0, 1, 1), np.int64)


def _nothing() -> None:
    pass


def encode(
    values: np.ndarray, *, prediction: np.ndarray | None = None, before_slice: Callable[[], None] = _nothing
) -> bytes:
    """Return an array of integers as bytes.

    The shortest of these ways is taken: values coded by a model; coefficients of blocks, where a picture was a JPEG
    once; deflated values.

    Args:
        values: Integers of any kind, of shape (height, width) or (slices, height, width). Slices are coded one after
            another, each with the help of the one before. Planes of a colour picture are slices, too.
        prediction: What the decoder will know of the values, integers of the same shape.
        before_slice: Is called before the model codes a slice, and ends the coding by an exception.

    Raises:
        DataError: If the array does not hold integers, or the shape is another one.
    """
    _check(values, prediction)
    stored, blocks = zlib.compress(little_endian(values), 9), find_blocks(values)
    bodies: dict[int, bytes | None] = {STORED: stored}
    if blocks is not None:
        bodies[BLOCKS] = _encode_blocks(values, blocks)
    # Blocks that give the picture back are by far the shortest, so that nothing else needs to be tried.
    if values.size and (blocks is None or (draw_blocks(blocks, values.shape) != values).mean() > 0.05):
        bodies[MODELLED] = _encode_modelled(values, prediction, len(stored), before_slice)
    body, kind = min(((body, kind) for kind, body in bodies.items() if body is not None), key=lambda way: len(way[0]))
    hinted = prediction is not None and kind == MODELLED
    return join(head_of(values, kind=kind, hinted=hinted), body)


def decode(
    data: bytes,
    *,
    prediction: np.ndarray | None = None,
    largest: int = 1 << 28,
    before_slice: Callable[[], None] = _nothing,
) -> np.ndarray:
    """Return the array that `encode` made these bytes of.

    Args:
        data: The bytes.
        prediction: The prediction that `encode` was given.
        largest: Most values that the array may have, so that damaged bytes do not take all memory.
        before_slice: See `encode`.

    Raises:
        DataError: If the bytes are damaged or from a newer version, or the prediction is another one.
    """
    head, body = split(data)
    size = 1
    for side in head.shape:
        size *= side
    if size > largest or max(head.shape) > largest:
        raise DataError(f"lossless data: expected at most {largest:,} values, got {size:,}: 'largest' allows more")
    if head.hinted:
        if prediction is None:
            raise DataError("lossless data: expected the prediction that it was encoded with, got none")
        _check_prediction(head.shape, prediction)
    try:
        if head.kind == STORED:
            values = _decode_stored(head, body, size)
        elif head.kind == BLOCKS:
            values = _decode_blocks(head, body)
        else:
            values = _decode_modelled(head, body, prediction if head.hinted else None, before_slice)
    except (IndexError, ValueError, OverflowError, zlib.error):
        raise DataError(DAMAGED) from None
    if checksum_of(values) != head.checksum:
        cause = "the prediction is another one than the encoder had" if head.hinted else "it is damaged"
        raise DataError(f"lossless data: expected values with the checksum of the original, got others: {cause}")
    return values


def _check(values: np.ndarray, prediction: np.ndarray | None) -> None:
    if values.dtype.kind not in "iu":
        raise DataError(f"lossless coding: expected integers, got {values.dtype}: store what they were made of")
    if values.ndim not in (2, 3):
        raise DataError(f"lossless coding: expected (height, width) or (slices, height, width), got {values.shape}")
    if prediction is not None:
        _check_prediction(values.shape, prediction)


def _check_prediction(shape: tuple[int, ...], prediction: np.ndarray) -> None:
    if prediction.dtype.kind not in "iu" or prediction.shape != shape:
        given = f"{prediction.dtype} of shape {prediction.shape}"
        raise DataError(f"lossless coding: expected a prediction of integers of shape {shape}, got {given}")


def _decode_stored(head: Head, body: bytes, size: int) -> np.ndarray:
    raw = zlib.decompressobj().decompress(body, size * head.dtype.itemsize + 1)
    return np.frombuffer(raw, head.dtype.newbyteorder("<")).astype(head.dtype).reshape(head.shape)


def _encode_modelled(
    values: np.ndarray, prediction: np.ndarray | None, most: int, before_slice: Callable[[], None] = _nothing
) -> bytes | None:
    """Return the ranks of the values, coded by the model, or None if there are too many or it takes too many bytes."""
    ranks = ranks_for(values)
    if ranks.levels > MOST_LEVELS:
        return None
    numbers = to_ranks(values, ranks)
    hints = _NO_HINTS if prediction is None else to_ranks(prediction, ranks)
    data, coder = np.zeros(most + MOST_BYTES, np.uint8), start_encoding()
    if ranks.levels > 1:
        state = _start(numbers.shape, hinted=prediction is not None)
        for z in range(len(numbers)):
            before_slice()
            if not pixels.code_slice(*state, coder, data, False, ranks.levels, hints, numbers, z):
                return None
    return write_ranks(ranks) + finish(coder, data)


def _decode_modelled(
    head: Head, body: bytes, prediction: np.ndarray | None, before_slice: Callable[[], None] = _nothing
) -> np.ndarray:
    ranks, at = read_ranks(body, 0)
    limits = np.iinfo(head.dtype)
    if ranks.levels > MOST_LEVELS or not limits.min <= ranks.low <= ranks.high <= limits.max:
        raise ValueError
    shape = head.shape if len(head.shape) == 3 else (1, *head.shape)
    numbers = np.zeros(shape, np.int64)
    hints = _NO_HINTS if prediction is None else to_ranks(prediction, ranks)
    data = np.frombuffer(body[at:], np.uint8).copy()
    if ranks.levels > 1 and numbers.size:
        state = _start(shape, hinted=prediction is not None)
        coder = start_decoding(data)
        for z in range(len(numbers)):
            before_slice()
            pixels.code_slice(*state, coder, data, True, ranks.levels, hints, numbers, z)
    return from_ranks(numbers, ranks, head.dtype).reshape(head.shape)


def _start(shape: tuple[int, ...], *, hinted: bool) -> tuple:
    slices, height, width = shape
    regression = start_regression(volume=slices > 1, hinted=hinted)
    return pixels.start_scene(height, width), regression, pixels.start_mixing_of_values(slices * height * width)


def _encode_blocks(values: np.ndarray, blocks: Blocks) -> bytes | None:
    """Return the quality, the coded coefficients, and the coded differences of the values from the drawn blocks.

    None if they take more bytes than the values.
    """
    multiples = blocks.multiples.astype(np.int64)
    data, coder = np.zeros(values.size + MOST_BYTES * 64, np.uint8), start_encoding()
    field, mixing = coefficients.start_field(*multiples.shape[:2]), coefficients.start_mixing_of_coefficients()
    if not coefficients.code_blocks(field, mixing, coder, data, False, steps_of(blocks.quality), multiples):
        return None
    coded = finish(coder, data)
    differences = values.astype(np.int16) - draw_blocks(blocks, values.shape)
    rest = _encode_modelled(differences, None, values.size * 2 + 64)
    return None if rest is None else bytes([blocks.quality]) + number(len(coded)) + coded + rest


def _decode_blocks(head: Head, body: bytes) -> np.ndarray:
    quality = body[0]
    length, at = read_number(body, 1)
    if len(head.shape) != 2 or head.dtype != np.uint8 or not 1 <= quality <= 100:
        raise ValueError
    data = np.frombuffer(body[at : at + length], np.uint8).copy()
    multiples = np.zeros((-(-head.shape[0] // 8), -(-head.shape[1] // 8), 8, 8), np.int64)
    field, mixing = coefficients.start_field(*multiples.shape[:2]), coefficients.start_mixing_of_coefficients()
    coefficients.code_blocks(field, mixing, start_decoding(data), data, True, steps_of(quality), multiples)
    drawn = draw_blocks(Blocks(quality, multiples), head.shape)
    rest = head._replace(dtype=np.dtype(np.int16))
    return (drawn + _decode_modelled(rest, body[at + length :], None)).astype(np.uint8)
