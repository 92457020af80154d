import numpy as np
import pytest

from voxlex.data.intensity import ConstantImageError, IntensityMap
from voxlex.errors import DataError


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
