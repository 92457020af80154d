import numpy as np
import pytest

from scans.pictures import picture
from voxlex.images.canvas import Placement, fit_to_canvas, placement, restore_from_canvas


def test_a_square_of_the_right_size_is_left_alone():
    np.testing.assert_array_equal(fit_to_canvas(picture(), size=24), picture())


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (100, 50, Placement(0, 16, 64, 32)),
        (50, 100, Placement(16, 0, 32, 64)),
        (64, 64, Placement(0, 0, 64, 64)),
        (10, 9, Placement(0, 3, 64, 58)),
        (1000, 1, Placement(0, 31, 64, 1)),
    ],
)
def test_placement_keeps_the_aspect_and_centres(height: int, width: int, expected: Placement):
    assert placement(height, width, size=64) == expected


def test_around_the_image_is_nothing():
    canvas = fit_to_canvas(np.full((40, 20), 200, np.uint8), size=64)
    assert (canvas[:, :16] == 0).all()
    assert (canvas[:, 48:] == 0).all()
    assert (canvas[:, 16:48] == 200).all()


def test_reducing_averages_instead_of_skipping_pixels():
    stripes = np.tile(np.array([[0, 255]], np.uint8), (256, 128))
    canvas = fit_to_canvas(stripes, size=32)
    assert abs(float(canvas[4:-4, 4:-4].mean()) - 127.5) < 4
    assert canvas[4:-4, 4:-4].std() < 4


def test_resizing_never_leaves_the_range_of_the_image():
    edge = np.zeros((50, 50), np.float32)
    edge[:, 25:] = 1
    for size in (17, 128):
        canvas = fit_to_canvas(edge, size=size)
        assert (canvas.min(), canvas.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(100, 60), (60, 100), (33, 33)])
def test_restoring_gives_the_original_back(shape: tuple[int, int]):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    smooth = (np.sin(rows / 15) * np.cos(columns / 20) / 2 + 0.5).astype(np.float32)
    restored = restore_from_canvas(fit_to_canvas(smooth, size=128), shape=shape)
    assert restored.shape == shape
    assert np.abs(restored - smooth).max() < 0.03


def test_an_asymmetric_marker_stays_in_its_corner():
    pixels = np.zeros((80, 40), np.float32)
    pixels[5:15, 3:9] = 1
    restored = restore_from_canvas(fit_to_canvas(pixels, size=64), shape=(80, 40))
    assert restored[5:15, 3:9].mean() > 0.8
    assert restored[40:].max() == restored[:, 20:].max() == 0


def test_a_reduced_decoding_is_placed_like_the_whole_image():
    whole = np.full((333, 500), 9, np.uint8)
    reduced = np.full((167, 250), 9, np.uint8)
    np.testing.assert_array_equal(fit_to_canvas(reduced, size=96, height=333, width=500), fit_to_canvas(whole, size=96))


def test_pixels_that_are_not_square_become_square():
    disc = np.hypot(*(np.mgrid[-40:40, -20:20] * np.array([1, 2])[:, None, None])) < 30
    canvas = fit_to_canvas(disc.astype(np.float32), size=80, height=80, width=80)
    assert abs((canvas > 0.5).any(axis=0).sum() - (canvas > 0.5).any(axis=1).sum()) <= 1
    restored = restore_from_canvas(canvas, shape=(80, 40), height=80, width=80)
    assert np.mean((restored > 0.5) != disc) < 0.01
