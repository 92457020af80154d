import numpy as np
import pytest
from PIL import Image

from voxlex.images.resampling import forwards, resample


@pytest.mark.parametrize("shape", [(233, 197), (100, 128), (12, 60), (700, 9), (64, 64), (1, 1)])
@pytest.mark.parametrize("size", [(128, 108), (17, 200), (1, 1)])
def test_it_is_what_pillow_does(shape: tuple[int, int], size: tuple[int, int]):
    pixels = np.random.default_rng(0).random(shape).astype(np.float32)
    height, width = size
    expected = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    resized = resample(pixels, height=height, width=width)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-6)


def test_a_mirrored_image_is_resized_to_the_mirror_image():
    pixels = np.random.default_rng(0).random((53, 81)).astype(np.float32)
    mirrored = resample(pixels[::-1, ::-1], height=31, width=90)
    np.testing.assert_allclose(mirrored[::-1, ::-1], resample(pixels, height=31, width=90), atol=1e-6)


@pytest.mark.parametrize("cells", range(1, 300, 7))
def test_white_stays_white_to_the_last_bit(cells: int):
    assert (resample(np.ones((233, 101), np.float32), height=cells, width=301 - cells) == 1).all()


def test_forwards():
    array = np.arange(24).reshape(2, 3, 4)
    for view in (array[::-1, :, ::-1], array[:, ::-1].T, array):
        assert min(forwards(view).strides) > 0
        assert set(forwards(view).ravel()) == set(view.ravel())
