import numpy as np
import pytest

from voxlex.errors import DataError
from voxlex.images.intensity import ConstantImageError, IntensityMap
from voxlex.scans.scan import Scan


def test_8_bit_images_come_back_identical():
    grey = np.arange(5, 250, dtype=np.uint8).reshape(5, 49)
    chosen = IntensityMap.of(grey)
    assert (chosen.low, chosen.high, chosen.bit_depth) == (0.0, 255.0, 8)
    np.testing.assert_array_equal(chosen.to_unit(grey), grey.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(chosen.from_unit(chosen.to_unit(grey)), grey)


def test_16_bit_images_fill_the_unit_interval_and_come_back_identical():
    grey = np.array([[10, 700], [4095, 2000]], np.uint16)
    chosen = IntensityMap.of(grey)
    unit = chosen.to_unit(grey)
    assert unit.max() == 1
    assert unit.min() == pytest.approx(10 / 4095)
    restored = chosen.from_unit(unit)
    assert restored.dtype == np.uint16
    np.testing.assert_array_equal(restored, grey)


def test_floats_below_zero_map_from_their_minimum():
    grey = np.array([[-1024.0, 0.0], [300.5, 3000.0]], np.float32)
    chosen = IntensityMap.of(grey)
    unit = chosen.to_unit(grey)
    assert (unit.min(), unit.max()) == (0, 1)
    np.testing.assert_allclose(chosen.from_unit(unit), grey, atol=1e-3)


def test_values_outside_the_interval_are_clipped_on_the_way_back():
    chosen = IntensityMap(low=0.0, high=255.0, bit_depth=8)
    np.testing.assert_array_equal(chosen.from_unit(np.array([-0.5, 1.5])), [0, 255])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_image_is_named_as_such(dtype: type):
    with pytest.raises(ConstantImageError, match=r"constant image \(every pixel is 7\)") as caught:
        IntensityMap.of(np.full((9, 9), 7, dtype))
    assert isinstance(caught.value, DataError)


def _volume(voxels: np.ndarray, **facts: object) -> Scan:
    return Scan(voxels=voxels, spacing_mm=(1.0, 1.0, 1.0), affine=np.eye(4), **facts)


def _head(dtype: type = np.int16) -> np.ndarray:
    """A third of air with noise, a head between 300 and 700, and ten voxels of 30,000."""
    rng = np.random.default_rng(0)
    voxels = np.concatenate([rng.integers(0, 20, 9_000), rng.integers(300, 700, 18_000)])
    voxels[:10] = 30_000
    return voxels.reshape(30, 30, 30).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32])
def test_a_few_bright_voxels_do_not_darken_a_volume(dtype: type):
    chosen = IntensityMap.of(_volume(_head(dtype), modality="MR"))
    assert chosen.low == 0
    assert 690 <= chosen.high <= 700
    restored = chosen.from_unit(chosen.to_unit(_head(dtype)))
    np.testing.assert_allclose(restored[_head(dtype) < 690], _head(dtype)[_head(dtype) < 690], atol=1e-3)


def test_more_air_does_not_brighten_a_volume():
    alone = IntensityMap.of(_volume(_head()))
    padded = IntensityMap.of(_volume(np.pad(_head(), 20)))
    assert padded.high == pytest.approx(alone.high, rel=0.01)


def test_volumes_of_8_bits_keep_their_scale():
    chosen = IntensityMap.of(_volume((_head() // 200).astype(np.uint8)))
    assert (chosen.low, chosen.high, chosen.dtype) == (0, 255, np.uint8)


def test_values_below_zero_in_a_volume_come_back():
    voxels = np.random.default_rng(0).normal(0, 1000, (20, 20, 20)).astype(np.int16)
    chosen = IntensityMap.of(_volume(voxels))
    assert chosen.low < -2000
    restored = chosen.from_unit(chosen.to_unit(voxels))
    assert restored.dtype == np.int16
    inside = (voxels >= chosen.low) & (voxels <= chosen.high)
    np.testing.assert_array_equal(restored[inside], voxels[inside])


def _ct() -> np.ndarray:
    voxels = np.full((20, 20, 20), -1000, np.int16)
    voxels[5:15, 5:15, 5:15] = np.arange(10) * 10
    voxels[5, 5:15, 5:15] = 1500
    return voxels


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"modality": "CT"}, (0, 80)),
        ({"modality": "CT", "window": (-160.0, 240.0)}, (-160, 240)),
        ({}, (0, 80)),
    ],
    ids=["brain window", "window of the file", "known by its air"],
)
def test_ct_is_seen_through_a_window(facts: dict[str, object], expected: tuple[float, float]):
    chosen = IntensityMap.of(_volume(_ct(), **facts))
    assert (chosen.low, chosen.high) == expected
    restored = chosen.from_unit(chosen.to_unit(_ct()))
    np.testing.assert_array_equal(restored, _ct().clip(*expected))


def test_phase_images_are_not_taken_for_ct():
    voxels = np.random.default_rng(0).integers(-4096, 4096, (20, 20, 20)).astype(np.int16)
    assert IntensityMap.of(_volume(voxels)).low < -4000


def test_an_x_ray_picture_is_seen_through_its_window():
    grey = np.linspace(0, 4095, 400).reshape(20, 20).astype(np.uint16)
    chosen = IntensityMap.of(Scan(voxels=grey, modality="DX", window=(-100.0, 3000.0)))
    assert (chosen.low, chosen.high) == (-100, 3000)
    np.testing.assert_array_equal(chosen.from_unit(chosen.to_unit(grey)), grey.clip(0, 3000))


def test_a_given_window_goes_before_all():
    chosen = IntensityMap.of(_volume(_ct(), modality="CT"), window=(-1000, 2000))
    assert (chosen.low, chosen.high) == (-1000, 2000)
    with pytest.raises(ValueError, match="window: expected low < high"):
        IntensityMap.of(_ct(), window=(5, 5))


def test_a_volume_of_hardly_anything_keeps_its_range():
    voxels = np.zeros((10, 10, 10), np.float32)
    voxels[5, 5, 5] = -3
    assert (IntensityMap.of(_volume(voxels)).low, IntensityMap.of(_volume(voxels)).high) == (-3, 0)


def test_a_mark_for_no_value_becomes_white():
    voxels = np.random.default_rng(0).uniform(0, 0.5, (20, 20, 20)).astype(np.float32)
    voxels[0, 0, 0] = np.finfo(np.float32).max
    chosen = IntensityMap.of(_volume(voxels))
    assert chosen.high < 0.5
    assert chosen.to_unit(voxels)[0, 0, 0] == 1
