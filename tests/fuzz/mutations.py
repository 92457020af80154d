"""Mutations of the bytes of a file, each from a seed: as a bad disk, a cut transfer or an attacker makes them."""

import random
import struct

_EXTREMES = [
    struct.pack(form, value)
    for form, values in (
        ("<B", (0, 1, 127, 128, 255)),
        ("<h", (-1, -(2**15), 2**15 - 1)),
        (">h", (-(2**15), 2**15 - 1)),
        ("<i", (-1, -(2**31), 2**31 - 1, 2**30)),
        (">i", (-(2**31), 2**31 - 1)),
        ("<q", (-1, -(2**63), 2**63 - 1, 2**40)),
        (">q", (-(2**63), 2**63 - 1)),
        ("<f", (float("nan"), float("inf"), -float("inf"), 3e38, 1e-45)),
        ("<d", (float("nan"), float("inf"), 1e308)),
    )
    for value in values
]

_WORDS = [
    b"\0",
    b"\n",
    b"\xff" * 16,
    b"\0" * 64,
    b"%s%n",
    b"../",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"null",
    b"[" * 200,
]


def mutated(content: bytes, others: list[bytes], seed: int) -> bytes:
    """Return a changed copy of the content.

    Args:
        content: An intact file.
        others: Intact files that parts are taken from.
        seed: Chooses the changes: one to four, more of them near the start, where headers lie.
    """
    choose = random.Random(seed)
    data = bytearray(content)
    for _ in range(choose.choice([1, 1, 1, 2, 4])):
        _CHANGES[choose.randrange(len(_CHANGES))](data, others, choose)
    return bytes(data)


def _place(data: bytearray, choose: random.Random) -> int:
    near = choose.random() < 0.6
    return choose.randrange(max(1, min(len(data), 512) if near else len(data)))


def _flip(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    for _ in range(choose.choice([1, 1, 8])):
        if data:
            data[_place(data, choose)] ^= 1 << choose.randrange(8)


def _cut(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    del data[_place(data, choose) :]


def _delete(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    start = _place(data, choose)
    del data[start : start + choose.choice([1, 2, 4, 16, 300])]


def _double(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    start = _place(data, choose)
    data[start:start] = data[start : start + choose.choice([1, 4, 64, 1000])]


def _overwrite(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    start, value = _place(data, choose), choose.choice(_EXTREMES)
    data[start : start + len(value)] = value


def _insert(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    start = _place(data, choose)
    data[start:start] = choose.choice([*_EXTREMES, *_WORDS])


def _splice(data: bytearray, others: list[bytes], choose: random.Random) -> None:
    other = choose.choice(others) if others else bytes(data)
    start, cut = _place(data, choose), _place(bytearray(other), choose)
    data[start:] = other[cut:]


_CHANGES = (_flip, _flip, _cut, _delete, _double, _overwrite, _overwrite, _insert, _splice)
