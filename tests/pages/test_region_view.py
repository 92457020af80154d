"""Views of a region: the slices that show it, lying as radiologists see them."""

import numpy as np

from voxlex.images.intensity import IntensityMap
from voxlex.pages.region_view import RegionView

EIGHT_BITS = IntensityMap(low=0, high=255, bit_depth=8)


def test_the_slices_are_those_that_hold_most_of_the_region() -> None:
    region = np.zeros((16, 20, 12), bool)
    region[2, 15, 3] = region[11, 5, 9] = region[12, 5, 9] = region[11, 6, 9] = True
    voxels = np.zeros(region.shape, np.uint8)
    voxels[11, 5, 9] = 255
    view = RegionView(region, (1.0, 1.0, 1.0))(voxels, EIGHT_BITS)
    assert view.shape == (1, 7 * 20, 7 * (20 + 16 + 20))  # seven times as large, to be seen
    axial, coronal, sagittal = view[0, ::7, ::7].split([20, 16, 20], dim=1)
    # Right on the left: x = 11 of 16 lies in column 4, on a canvas of 20 with a margin of 2.
    assert np.argwhere(axial.numpy() == 1).tolist() == [[19 - 5, 2 + 15 - 11]]
    assert np.argwhere(coronal.numpy() == 1).tolist() == [[2 + 11 - 9, 15 - 11]]
    assert np.argwhere(sagittal.numpy() == 1).tolist() == [[4 + 11 - 9, 19 - 5]]


def test_thick_slices_are_shown_at_one_scale() -> None:
    region = np.ones((20, 20, 4), bool)
    voxels = np.full(region.shape, 255, np.uint8)
    view = RegionView(region, (1.0, 1.0, 5.0))(voxels, EIGHT_BITS)
    assert view.shape == (1, 7 * 20, 7 * 60)
    assert (view == 1).all()


def test_large_scans_are_reduced_and_pictures_shown_as_they_are() -> None:
    assert RegionView(np.ones((400, 8, 8), bool), None)(np.zeros((400, 8, 8)), EIGHT_BITS).shape[1] == 256
    assert RegionView(np.ones((900, 600), bool), None)(np.zeros((900, 600)), EIGHT_BITS).shape == (1, 256, 256)
    picture = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12)
    shown = RegionView(picture > 50, None)(picture, EIGHT_BITS)
    assert shown.shape == (1, 12, 12)
    np.testing.assert_allclose(shown[0, 1:10], picture / np.float32(255))
