"""Cubes: geometry to the voxel, orientation, and the way back onto any grid."""

import numpy as np
import pytest
from scipy import ndimage

from voxlex.errors import DataError
from voxlex.images.cube import (
    cube_affine,
    fit_to_cube,
    from_cube_order,
    head_centre,
    region_in_cube,
    restore_from_cube,
    to_cube_order,
)


def _ball(shape: tuple[int, int, int], *, centre: tuple[float, float, float], radius: float, spacing=(1, 1, 1)):
    """A ball with soft edges; all in voxels of 1 mm but the spacing of the grid."""
    grids = np.meshgrid(*[np.arange(n) * step for n, step in zip(shape, spacing, strict=True)], indexing="ij")
    distance = np.sqrt(sum((g - c * s) ** 2 for g, c, s in zip(grids, centre, spacing, strict=True)))
    return (1 / (1 + np.exp(distance - radius))).astype(np.float32)


def test_the_first_voxel_is_top_front_right() -> None:
    volume = np.zeros((4, 5, 6))
    volume[-1, -1, -1] = 1  # canonical order ends at the subject's right, front and top
    assert to_cube_order(volume).shape == (6, 5, 4)
    assert to_cube_order(volume)[0, 0, 0] == 1
    assert np.array_equal(from_cube_order(to_cube_order(volume)), volume)


def test_a_slice_of_a_cube_lies_as_2d_images_do() -> None:
    volume = np.zeros((32, 32, 32), np.float32)
    volume[4:28, 4:28, 4:28] = 0.5
    volume[22:26, 22:26, 22:26] = 1.0  # right, front, top
    cube = fit_to_cube(volume, np.eye(4), size=32, spacing_mm=1.0)
    top, front, right = (index.mean() for index in np.nonzero(cube == 1.0))
    assert max(top, front, right) < 16


@pytest.mark.parametrize("size", [31, 32, 48])
def test_the_same_spacing_comes_back_exactly(size: int) -> None:
    volume = np.random.default_rng(0).random((24, 29, 31)).astype(np.float32)
    cube = fit_to_cube(volume, np.eye(4), size=size, spacing_mm=1.0, centre=(11.5, 14.0, 15.0))
    back = restore_from_cube(cube, np.eye(4), shape=volume.shape, spacing_mm=1.0, centre=(11.5, 14.0, 15.0))
    assert np.array_equal(back, volume)


def test_thick_slices_become_equal_voxels_and_come_back() -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    volume = _ball((64, 64, 22), centre=(30.0, 34.0, 11.0), radius=20, spacing=(1, 1, 3))
    cube = fit_to_cube(volume, affine, size=64, spacing_mm=1.0)
    extents = [np.ptp(np.flatnonzero((cube > 0.5).any(axis=axes))) for axes in ((1, 2), (0, 2), (0, 1))]
    assert max(extents) - min(extents) <= 2
    back = restore_from_cube(cube, affine, shape=volume.shape, spacing_mm=1.0, centre=head_centre(volume))
    assert np.abs(back - volume).max() < 1e-5


def test_a_coarse_cube_comes_back_in_place() -> None:
    volume = _ball((60, 70, 50), centre=(22.0, 40.0, 27.0), radius=15)
    cube = fit_to_cube(volume, np.eye(4), size=24, spacing_mm=2.5)
    back = restore_from_cube(cube, np.eye(4), shape=volume.shape, spacing_mm=2.5, centre=head_centre(volume))
    where = [
        np.average(np.arange(n), weights=back.sum(axis=axes))
        for n, axes in zip(back.shape, ((1, 2), (0, 2), (0, 1)), strict=True)
    ]
    assert where == pytest.approx([22.0, 40.0, 27.0], abs=0.05)
    assert back.sum() == pytest.approx(volume.sum(), rel=0.01)


def test_a_turned_affine_has_the_spacing_of_its_axes() -> None:
    volume = _ball((32, 32, 32), centre=(16.0, 16.0, 16.0), radius=8)
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    straight, turned = (fit_to_cube(volume, affine, size=16, spacing_mm=2.0) for affine in (np.eye(4), turn))
    assert np.allclose(straight, turned)


def test_reducing_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 64), np.float32)
    stripes[::2] = 1.0
    inner = fit_to_cube(stripes, np.eye(4), size=24, spacing_mm=2.5)[4:-4, 4:-4, 4:-4]
    assert np.ptp(inner) < 0.1


def test_the_head_is_in_the_middle_wherever_it_lay() -> None:
    volume = _ball((80, 60, 60), centre=(57.0, 25.0, 33.0), radius=14)
    noisy = volume + np.random.default_rng(0).random(volume.shape).astype(np.float32) * 0.05
    noisy[2, 3, 4] = 1.0  # a speck
    assert head_centre(noisy) == pytest.approx((57.0, 25.0, 33.0), abs=0.6)


def test_nothing_to_see_is_centred_too() -> None:
    assert head_centre(np.zeros((9, 11, 13))) == (4.0, 5.0, 6.0)


def test_a_cube_without_a_place_lies_around_the_origin() -> None:
    affine = cube_affine(64, spacing_mm=2.0)
    assert np.allclose(affine @ [31.5, 31.5, 31.5, 1], [0, 0, 0, 1])


@pytest.mark.parametrize("spacing_mm", [0.7, 1.0, 1.3, 2.5])
def test_a_region_is_made_of_what_is_found_in_the_cube_and_of_nothing_else(spacing_mm: float) -> None:
    affine, place = np.diag([1.0, 0.8, 1.5, 1.0]), {"spacing_mm": spacing_mm, "centre": (9.0, 12.0, 6.0)}
    region = np.zeros((20, 26, 14), bool)
    region[5:11, 9, 6:8] = True
    region[13, 16, 4] = True
    found = region_in_cube(region, affine, size=32, **place)
    filled = restore_from_cube(found.astype(np.float32), affine, shape=region.shape, **place)
    assert filled[region] == pytest.approx(1.0)
    assert filled.sum() < (1 + 2 * spacing_mm) ** 3 * region.sum()
    if spacing_mm <= 1.5:  # where no other voxel lies between, the cube may hold it back exactly
        assert filled[~ndimage.binary_dilation(region, np.ones((5, 5, 5)))].max() == 0


def test_a_region_lies_in_the_cube_where_the_volume_has_it() -> None:
    region = np.zeros((20, 26, 14), bool)
    region[15:, 20:, 10:] = True  # right, front, top
    found = region_in_cube(region, np.eye(4), size=28, spacing_mm=1.0, centre=(9.5, 12.5, 6.5))
    cube = fit_to_cube(region.astype(np.float32), np.eye(4), size=28, spacing_mm=1.0, centre=(9.5, 12.5, 6.5))
    assert np.array_equal(found, cube > 0)


def test_a_region_beyond_the_cube_is_refused() -> None:
    region = np.zeros((40, 20, 20), bool)
    region[2:10, 10, 10] = True
    with pytest.raises(DataError, match=r"^4 of 8 voxels lie outside the cube of 28 mm around the middle of the head"):
        region_in_cube(region, np.eye(4), size=28, spacing_mm=1.0, centre=(19.5, 9.5, 9.5))
