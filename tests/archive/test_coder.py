"""The coder in integers: whatever is encoded comes back, compiled and as Python, and tables are worth their bytes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxlex.archive import kernels
from voxlex.archive.compiling import interpreted
from voxlex.archive.component import chances, functions
from voxlex.archive.fitting import fit_tables
from voxlex.archive.kernels import STATE
from voxlex.archive.tables import Tables
from voxlex.codes import CodeLayout
from voxlex.errors import CodesError

CHANCE = st.one_of(st.sampled_from([1, 2, 32768, 65534, 65535]), st.integers(1, 65535))


def coded(bits: list[int], likely: list[int]) -> bytes:
    state, stream = np.zeros(STATE, np.int64), np.zeros(2 * len(bits) + 8, np.uint8)
    functions()["start_writing"](state)
    ways = np.array(bits, np.uint8)
    functions()["code_bits"](0, ways, np.array(likely, np.int32), len(bits), state, stream)
    return stream[: functions()["finish_writing"](state, stream)].tobytes()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 1), CHANCE), max_size=300))
def test_decisions_of_any_probability_come_back(decisions: list[tuple[int, int]]) -> None:
    bits, likely = [bit for bit, _ in decisions], [chance for _, chance in decisions]
    content = coded(bits, likely)
    state, found = np.zeros(STATE, np.int64), np.zeros(len(bits), np.uint8)
    stream = np.frombuffer(content + b"\xff", np.uint8)  # what follows in a file must not matter
    functions()["start_reading"](state, stream, 0, len(content))
    functions()["code_bits"](1, found, np.array(likely, np.int32), len(bits), state, stream)
    assert found.tolist() == bits
    ideal = sum(-np.log2((chance if bit else 65536 - chance) / 65536) for bit, chance in decisions)
    assert len(content) <= ideal / 8 * 1.02 + 3


def test_probabilities_are_those_of_logits() -> None:
    exact = 1 / (1 + np.exp(-np.arange(-2048, 2048) / 256)) * 65536
    np.testing.assert_allclose(chances(), exact, atol=0.51)


def codes_like_images(shape: tuple[int, ...], count: int, *, images: int, seed: int) -> np.ndarray:
    """Draw codes of which neighbours are often equal."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, count, (images, *shape))
    for axis in range(2, codes.ndim):
        for place in range(1, codes.shape[axis]):
            here, before = [(*[slice(None)] * axis, p) for p in (place, place - 1)]
            keep = rng.random(codes[here].shape) < 0.6
            codes[here] = np.where(keep, codes[before], codes[here])
    return codes


def vectors(codebooks: int, count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(codebooks, count, 5)).astype(np.float32)


CASES = {
    "a picture": ([((1, 8, 6), 16)], 2),
    "codes that are no power of two": ([((1, 5, 5), 11)], 2),
    "a single code": ([((1, 4, 4), 1)], 2),
    "codebooks": ([((3, 6, 6), 8)], 2),
    "levels": ([((1, 2, 3), 8), ((2, 8, 12), 12)], 2),
    "a volume": ([((1, 4, 6, 5), 9)], 3),
    "a volume of one cell": ([((2, 1, 1, 1), 4)], 3),
}


@pytest.mark.parametrize("name", CASES)
def test_codes_of_any_layout_come_back(name: str) -> None:
    levels, dims = CASES[name]
    codes = [codes_like_images(shape, count, images=24, seed=1) for shape, count in levels]
    words = [vectors(shape[0], count) for shape, count in levels]
    tables = Tables.from_bytes(fit_tables(codes, words).content)
    layouts = [CodeLayout(num_embeddings=k, num_codebooks=s[0], grid=s[1:]) for s, k in levels]
    assert tables.fits(layouts)
    assert tables.spatial_dims == dims
    rng = np.random.default_rng(5)
    for own in ([level[:3] for level in codes], [rng.integers(0, k, (2, *s)) for s, k in levels]):
        streams = tables.encode(own)
        found = tables.decode(streams, [level.shape[2:] for level in own], images=len(own[0]))
        for one, other in zip(own, found, strict=True):
            np.testing.assert_array_equal(one, other)
        first = tables.decode(streams[:1], [own[0].shape[2:]], images=len(own[0]))
        np.testing.assert_array_equal(first[0], own[0])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))
def test_codes_of_any_size_come_back(seed: int, height: int, width: int, images: int) -> None:
    tables = some_tables()
    codes = np.random.default_rng(seed).integers(0, 13, (images, 2, height, width))
    found = tables.decode(tables.encode([codes]), [(height, width)], images=images)
    np.testing.assert_array_equal(found[0], codes)


_TABLES: list[Tables] = []


def some_tables() -> Tables:
    if not _TABLES:
        codes = codes_like_images((2, 6, 6), 13, images=40, seed=2)
        _TABLES.append(fit_tables([codes], [vectors(2, 13)]))
    return _TABLES[0]


def test_python_computes_what_compiled_code_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = codes_like_images((2, 6, 6), 13, images=2, seed=3)
    tables = some_tables()
    compiled = tables.encode([codes])
    slow = {name: interpreted(getattr(kernels, name)) for name in functions()}
    monkeypatch.setattr("voxlex.archive.tables.functions", lambda: slow)
    assert tables.encode([codes]) == compiled
    np.testing.assert_array_equal(tables.decode(compiled, [(6, 6)], images=2)[0], codes)


def test_tables_are_better_than_how_often_codes_are_used() -> None:
    seen, new = (codes_like_images((1, 16, 16), 32, images=count, seed=seed) for count, seed in ((60, 4), (10, 5)))
    tables = fit_tables([seen], [vectors(1, 32)])
    took = sum(len(tables.encode([new[i : i + 1]])[0][0]) for i in range(len(new)))
    counts = np.bincount(seen.reshape(-1), minlength=32)
    alone = -np.log2(counts / counts.sum())[new].sum() / 8
    assert took < 0.8 * alone


def test_later_codebooks_can_be_left_out() -> None:
    codes = codes_like_images((2, 6, 6), 13, images=3, seed=6)
    tables = some_tables()
    found = tables.decode(tables.encode([codes[:, :1]]), [(6, 6)], images=3)
    np.testing.assert_array_equal(found[0], codes[:, :1])


def test_codes_that_tables_do_not_have_are_refused() -> None:
    with pytest.raises(CodesError, match=r"expected values in \[0, 13\)"):
        some_tables().encode([np.full((1, 2, 2, 2), 13)])
    with pytest.raises(CodesError, match="expected codes of these tables"):
        some_tables().decode([[b"", b"", b""]], [(2, 2)], images=1)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_tables_are_refused_or_read(seed: int) -> None:
    content = bytearray(some_tables().content)
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 3):
        content[place] = rng.integers(256)
    codes = codes_like_images((2, 6, 6), 13, images=1, seed=7)
    try:
        tables = Tables.from_bytes(bytes(content))
        found = tables.decode(tables.encode([codes]), [(6, 6)], images=1)
    except CodesError:
        return
    np.testing.assert_array_equal(found[0], codes)


def test_the_sum_of_the_series_is_that_of_e() -> None:
    # The middle of the table in exact fractions: e^(1/256) from its series.
    term = total = Fraction(1)
    for n in range(1, 20):
        term = term / (256 * n)
        total += term
    assert chances()[2049] == round(Fraction(65536) * total / (1 + total))
