"""Integer arrays to bytes and back, bit for bit. The layout of the bytes is described in docs/lossless.md."""

import zlib
from typing import NamedTuple

import numpy as np

from voxlex.errors import DataError
from voxlex.lossless.coder import MOST_BYTES, finish, start_decoding, start_encoding
from voxlex.lossless.mixing import NODES, Mixing, start_mixing
from voxlex.lossless.pixels import CONTEXTS, DISTRIBUTIONS, EXPERTS, HASHES, MIXERS, code_values, start_scene
from voxlex.lossless.regression import start_regression

VERSION = 1

_STORED, _MODELLED = 0, 1
_DTYPES = tuple(np.dtype(name) for name in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"))
_MOST_LEVELS = 1 << 24
"""Values that are further apart are stored without a model, so that all arithmetic stays exact."""


class _Head(NamedTuple):
    kind: int
    dtype: np.dtype
    shape: tuple[int, ...]
    hinted: bool
    checksum: int


def encode(values: np.ndarray, *, prediction: np.ndarray | None = None) -> bytes:
    """Return an array of integers as bytes.

    Args:
        values: Integers of any kind, of shape (height, width) or (slices, height, width). Slices are coded one after
            another, each with the help of the one before. Planes of a colour picture are slices, too.
        prediction: What the decoder will know of the values, integers of the same shape.

    Raises:
        DataError: If the array does not hold integers, or the shape is another one.
    """
    _check(values, prediction)
    stored = _join(_STORED, values, False, zlib.compress(_little(values).tobytes(), 9))
    body = _encode_modelled(values, prediction, len(stored)) if values.size else None
    if body is None:
        return stored
    modelled = _join(_MODELLED, values, prediction is not None, body)
    return min(modelled, stored, key=len)


def decode(data: bytes, *, prediction: np.ndarray | None = None, largest: int = 1 << 28) -> np.ndarray:
    """Return the array that `encode` made these bytes of.

    Args:
        data: The bytes.
        prediction: The prediction that `encode` was given.
        largest: Most values that the array may have, so that damaged bytes do not take all memory.

    Raises:
        DataError: If the bytes are damaged or from a newer version, or the prediction is another one.
    """
    head, body = _split(data)
    size = int(np.prod([float(side) for side in head.shape]))
    if size > largest:
        raise DataError(f"lossless data: expected at most {largest:,} values, got {size:,}: 'largest' allows more")
    if head.hinted and prediction is None:
        raise DataError("lossless data: expected the prediction that it was encoded with, got none")
    if head.kind == _STORED:
        values = _decode_stored(head, body)
    else:
        if prediction is not None:
            _check_prediction(head.shape, prediction)
        values = _decode_modelled(head, body, prediction if head.hinted else None)
    if zlib.crc32(_little(values).tobytes()) != head.checksum:
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


def _little(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def _join(kind: int, values: np.ndarray, hinted: bool, body: bytes) -> bytes:
    """Return the head, and the body after it. The checksum over all of it stands in between."""
    code = _DTYPES.index(values.dtype.newbyteorder("="))
    head = bytes([VERSION << 4 | kind, code | (values.ndim == 3) << 3 | hinted << 4])
    head += b"".join(_number(side) for side in values.shape)
    head += zlib.crc32(_little(values).tobytes()).to_bytes(4, "little")
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body


def _split(data: bytes) -> tuple[_Head, bytes]:
    damaged = DataError("lossless data: expected bytes as they were written, got damaged or cut ones")
    try:
        first, second, at = data[0], data[1], 2
        if first >> 4 > VERSION:
            raise DataError(f"lossless data: expected version {VERSION} or older, got {first >> 4}: update voxlex")
        shape = []
        for _ in range(3 if second >> 3 & 1 else 2):
            side, at = _read_number(data, at)
            shape.append(side)
    except IndexError:
        raise damaged from None
    checksum, whole = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
    body = data[at + 8 :]
    if zlib.crc32(body, zlib.crc32(data[: at + 4])) != whole or first & 15 > _MODELLED or second >> 5:
        raise damaged
    return _Head(first & 15, _DTYPES[second & 7], tuple(shape), bool(second >> 4 & 1), checksum), body


def _number(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first; the eighth bit says that another one follows."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] > 127 and shift < 63:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | (data[at] & 127) << shift, at + 1


def _decode_stored(head: _Head, body: bytes) -> np.ndarray:
    length = int(np.prod(head.shape)) * head.dtype.itemsize
    try:
        raw = zlib.decompressobj().decompress(body, length + 1)
    except zlib.error as error:
        raise DataError(f"lossless data: expected deflated values, got damaged ones ({error})") from None
    if len(raw) != length:
        raise DataError(f"lossless data: expected {length} bytes of values, got {len(raw)}")
    return np.frombuffer(raw, head.dtype.newbyteorder("<")).astype(head.dtype).reshape(head.shape)


def _encode_modelled(values: np.ndarray, prediction: np.ndarray | None, most: int) -> bytes | None:
    """Return the ranks of the values among those that occur, coded by the model, or None if this takes too much."""
    palette = _palette(values)
    low, high = int(values.min()), int(values.max())
    levels = high - low + 1 if palette is None else len(palette)
    if levels > _MOST_LEVELS:
        return None
    start = low * 2 if low >= 0 else -low * 2 - 1
    head = _number(start) + _number(high - low)
    if palette is None:
        head += _number(0)
    else:
        gaps = zlib.compress(b"".join(_number(int(gap)) for gap in np.diff(palette)), 9)
        head += _number(len(gaps)) + gaps
    ranks, hints = (_ranks(array, low, palette, levels) for array in (values, prediction))
    assert ranks is not None
    data, coder = np.zeros(most + MOST_BYTES, np.uint8), start_encoding()
    if levels > 1 and not code_values(
        *_start(ranks, hints is not None), coder, data, False, levels, _or_none(hints), ranks
    ):
        return None
    return head + finish(coder, data)


def _decode_modelled(head: _Head, body: bytes, prediction: np.ndarray | None) -> np.ndarray:
    try:
        start, at = _read_number(body, 0)
        spread, at = _read_number(body, at)
        length, at = _read_number(body, at)
        low = start // 2 if start % 2 == 0 else -(start + 1) // 2
        palette = None
        if length:
            palette = _read_palette(body[at : at + length], low, spread)
    except (IndexError, zlib.error):
        raise DataError("lossless data: expected a range and the values that occur, got damaged ones") from None
    levels = spread + 1 if palette is None else len(palette)
    if levels > _MOST_LEVELS or low < np.iinfo(head.dtype).min or low + spread > np.iinfo(head.dtype).max:
        raise DataError(f"lossless data: expected values of {head.dtype}, got a range of {low} to {low + spread}")
    shape = head.shape if len(head.shape) == 3 else (1, *head.shape)
    ranks = np.zeros(shape, np.int64)
    hints = None if prediction is None else _ranks(prediction, low, palette, levels)
    coded = np.frombuffer(body[at + length :], np.uint8).copy()
    if levels > 1:
        code_values(
            *_start(ranks, hints is not None), start_decoding(coded), coded, True, levels, _or_none(hints), ranks
        )
    values = ranks.astype(head.dtype) + head.dtype.type(low) if palette is None else palette.astype(head.dtype)[ranks]
    return values.reshape(head.shape)


def _palette(values: np.ndarray) -> np.ndarray | None:
    """Return the values that occur, sorted, if it takes fewer bits to list them than to rule out the others."""
    occurring = np.unique(values)
    spread = int(occurring[-1]) - int(occurring[0]) + 1
    if len(occurring) == spread:
        return None
    share = len(occurring) / spread
    listed = len(occurring) * (2.0 + np.log2(1.0 / share))
    ruled_out = 0.5 * values.size * np.log2(1.0 / share)
    return occurring if listed < ruled_out or spread > _MOST_LEVELS else None


def _read_palette(packed: bytes, low: int, spread: int) -> np.ndarray:
    raw = zlib.decompressobj().decompress(packed, 10 * _MOST_LEVELS)
    palette, at = [low], 0
    while at < len(raw):
        gap, at = _read_number(raw, at)
        palette.append(palette[-1] + gap)
    if palette[-1] != low + spread:
        raise IndexError
    return np.array(palette, np.int64 if palette[-1] < 1 << 63 else np.uint64)


def _ranks(array: np.ndarray | None, low: int, palette: np.ndarray | None, levels: int) -> np.ndarray | None:
    """Return values between 0 and `levels` − 1 in int64, as slices; a prediction is drawn into this range."""
    if array is None:
        return None
    array = array if array.ndim == 3 else array[None]
    if palette is not None:
        return np.minimum(np.searchsorted(palette, array), levels - 1).astype(np.int64)
    limits = np.iinfo(array.dtype)
    inside = np.clip(array, max(low, limits.min), min(max(low + levels - 1, limits.min), limits.max))
    return np.clip(inside.astype(np.int64) - low, 0, levels - 1)


def _or_none(hints: np.ndarray | None) -> np.ndarray:
    return np.zeros((0, 1, 1), np.int64) if hints is None else hints


def _start(ranks: np.ndarray, hinted: bool) -> tuple:
    slices, height, width = ranks.shape
    weights = np.zeros((NODES, DISTRIBUTIONS + CONTEXTS + HASHES + 1))
    weights[:, :4], weights[:, EXPERTS], weights[:, DISTRIBUTIONS:-1] = 0.12, 0.3, 0.05
    mixing: Mixing = start_mixing(
        weights=weights,
        distributions=DISTRIBUTIONS,
        contexts=CONTEXTS,
        hashes=HASHES,
        situations=MIXERS,
        hash_bits=min(max(ranks.size.bit_length() + 2, 12), 20),
    )
    return start_scene(height, width), start_regression(volume=slices > 1, hinted=hinted), mixing
