"""Arrays come back bit for bit; what is smaller, and what is refused."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lossless.arrays import former_jpeg, noise, picture, volume
from voxlex.errors import DataError
from voxlex.lossless import decode, encode

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FEW = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype.newbyteorder("=") and one.shape == other.shape and np.array_equal(one, other)


@st.composite
def integers(draw: st.DrawFn) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=9))
    limits = np.iinfo(dtype)
    low = draw(st.integers(limits.min, limits.max))
    high = draw(st.one_of(st.integers(low, limits.max), st.just(min(low + 5, limits.max)), st.just(limits.max)))
    return draw(arrays.arrays(dtype, shape, elements=st.integers(low, high)))


@FEW
@given(integers())
def test_any_array_comes_back(values: np.ndarray) -> None:
    assert same(decode(encode(values)), values)


@FEW
@given(integers(), st.integers(-(1 << 62), 1 << 62), st.sampled_from(DTYPES))
def test_any_array_comes_back_beside_any_prediction(values: np.ndarray, shift: int, dtype: str) -> None:
    prediction = (values.astype(np.uint64) + np.uint64(shift % (1 << 64))).astype(dtype)
    assert same(decode(encode(values, prediction=prediction), prediction=prediction), values)


@pytest.mark.parametrize(
    "values",
    [
        picture(),
        picture(37, 41),
        picture().astype("i2") * 16 - 2000,
        picture().astype("u2") * 257,
        volume(),
        volume().astype(">i4"),
        former_jpeg(),
        former_jpeg()[:-3, :-5],
        np.asfortranarray(volume())[:, ::-1],
        noise(900).reshape(30, 30).astype("u2"),
        (noise(900).reshape(30, 30) * 250).astype("i4") * (np.arange(900).reshape(30, 30) % 7 == 0),
        np.full((3, 30, 30), -5, "i1"),
        np.zeros((0, 4), "u1"),
        np.array([[-(1 << 63), (1 << 63) - 1]]),
        (picture() > 50).astype("u1") * 255,
        np.stack([picture(), picture() // 2, 255 - picture()]),
        np.zeros((1, 3000), "u2") + np.arange(3000, dtype="u2"),
    ],
    ids=lambda values: f"{values.dtype}-{values.shape}",
)
def test_pictures_and_volumes_come_back(values: np.ndarray) -> None:
    assert same(decode(encode(values)), values)


def test_a_picture_takes_less_than_deflated() -> None:
    values = picture()
    assert len(encode(values)) < 0.8 * len(zlib.compress(values.tobytes(), 9))


def test_noise_takes_hardly_more_than_itself() -> None:
    values = noise(10_000).reshape(100, 100).astype("u2")
    assert len(encode(values)) <= values.nbytes + 64


def test_a_volume_takes_less_than_its_slices() -> None:
    values = volume()
    assert len(encode(values)) < 0.8 * sum(len(encode(plane)) for plane in values)


def test_planes_of_a_grey_colour_picture_take_little_more_than_one() -> None:
    assert len(encode(np.stack([picture()] * 3))) < 1.5 * len(encode(picture()))


def test_a_good_prediction_saves_bytes_and_a_bad_one_costs_few() -> None:
    values = picture()
    good = np.clip(values.astype(int) + noise(values.size, 9).reshape(values.shape) // 16384 - 2, 0, 255)
    assert len(encode(values, prediction=good)) < 0.8 * len(encode(values))
    assert len(encode(values, prediction=np.zeros_like(values))) < 1.1 * len(encode(values))


def test_values_with_gaps_take_no_more_than_without() -> None:
    values = picture()
    assert len(encode(values.astype("u2") * 257)) < 1.1 * len(encode(values))


def test_a_former_jpeg_is_stored_as_coefficients() -> None:
    values = former_jpeg()
    shifted = np.roll(values, 3, axis=(0, 1))  # its blocks lie elsewhere
    assert len(encode(values)) < 0.6 * len(encode(shifted))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 4), np.float32), "expected integers, got float32"),
        (np.zeros((4, 4), bool), "expected integers, got bool"),
        (np.zeros(4, np.uint8), r"got \(4,\)"),
        (np.zeros((1, 2, 3, 4), np.uint8), r"got \(1, 2, 3, 4\)"),
    ],
)
def test_what_is_not_a_picture_or_volume_of_integers_is_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(values)


def test_predictions_that_do_not_fit_are_refused() -> None:
    values = picture()
    with pytest.raises(DataError, match="expected a prediction of integers of shape"):
        encode(values, prediction=values[:-1])
    data = encode(values, prediction=values)
    with pytest.raises(DataError, match="expected the prediction that it was encoded with, got none"):
        decode(data)
    with pytest.raises(DataError, match="expected a prediction of integers of shape"):
        decode(data, prediction=values.astype(float))
    with pytest.raises(DataError, match="the prediction is another one"):
        decode(data, prediction=values[::-1])


def test_a_newer_version_and_too_many_values_are_refused() -> None:
    data = encode(picture())
    with pytest.raises(DataError, match="expected version 1 or older, got 2: update voxlex"):
        decode(bytes([data[0] + 16]) + data[1:])
    with pytest.raises(DataError, match="expected at most 100 values, got 1,920"):
        decode(data, largest=100)


def test_threads_and_flushed_denormals_change_no_byte() -> None:
    data = encode(volume())
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(encode, [volume()] * 8)) == {data}
    if torch.set_flush_denormal(True):
        try:
            assert encode(volume()) == data
        finally:
            torch.set_flush_denormal(False)


@pytest.mark.parametrize("name", ["picture", "volume", "beside", "jpeg", "stored"])
def test_bytes_of_version_1_keep_their_meaning_and_are_still_written(name: str) -> None:
    values, prediction = golden(name)
    data = (Path(__file__).parent / "golden" / f"{name}.bin").read_bytes()
    assert same(decode(data, prediction=prediction), values)
    assert encode(values, prediction=prediction) == data


def golden(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array, and its prediction, of which the bytes are kept."""
    if name == "beside":
        return volume(), volume() + 3
    made = {"picture": picture(), "volume": volume(), "jpeg": former_jpeg(), "stored": np.array([[1, -1 << 62]])}
    return made[name], None


if __name__ == "__main__":  # writes the files, for a new version of the format
    for name in ("picture", "volume", "beside", "jpeg", "stored"):
        values, prediction = golden(name)
        (Path(__file__).parent / "golden" / f"{name}.bin").write_bytes(encode(values, prediction=prediction))
