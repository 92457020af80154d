"""Any array on the model's grid goes home to the scan's grid: a deviation, a probability or a label, not grey alone."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from scans.heads import LAS, OBLIQUE, PSR, head, write_volume
from scans.pictures import picture
from voxlex.config.options import Axis, SliceOptions
from voxlex.images.cube import fit_to_cube
from voxlex.images.fit import fit_voxels
from voxlex.images.frame import Frame
from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.images.restore import restore_grid, restore_scan, restore_slice
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan

SHAPE = (24, 30, 20)
AFFINES = {"LAS": LAS, "PSR": PSR, "oblique": OBLIQUE}


def origin_of(path: Path, frame: Frame) -> Origin:
    return fit_voxels(read_scan(path), frame).origin


def slices(axis: Axis, size: int) -> Frame:
    return Frame(size=size, slices=SliceOptions(axis=axis), whole=True)


def cube(size: int, spacing_mm: float) -> Frame:
    return Frame(size=size, spacing_mm=spacing_mm, whole=True)


def ramp() -> np.ndarray:
    """A deviation in canonical order that is linear in the place, so that interpolation does not change it."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return (3 * x - 2 * y + z).astype(np.float32)


def blocks() -> np.ndarray:
    """Labels in canonical order, some above 255, that differ from place to place."""
    x, y, z = np.meshgrid(*(np.arange(n) // 5 for n in SHAPE), indexing="ij")
    return (1 + x + 20 * y + 300 * z).astype(np.int16)


def same_file(before: Path, after: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of two files that must agree in grid and type, both in the order of the file."""
    one, other = nibabel.load(before), nibabel.load(after)
    np.testing.assert_array_equal(other.affine, one.affine)
    assert other.get_data_dtype() == one.get_data_dtype()
    return np.asanyarray(one.dataobj), np.asanyarray(other.dataobj)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("stored", AFFINES)
def test_a_deviation_comes_home_from_slices(tmp_path: Path, axis: Axis, stored: str) -> None:
    scan = write_volume(tmp_path / "t1.nii.gz", head(SHAPE), AFFINES[stored])
    expected = write_volume(tmp_path / "expected.nii.gz", ramp(), AFFINES[stored])
    origin = origin_of(scan, slices(axis, 64))
    canvases = [origin.stack.to_canvas(origin.stack.slice(ramp(), i), size=64) for i in range(len(origin.stack))]
    home = restore_grid(canvases, origin)
    write_scan(tmp_path / "home.nii.gz", origin.place(home))
    before, after = same_file(expected, tmp_path / "home.nii.gz")
    inside = (slice(2, -2),) * 3  # at the rim a triangle leans on the pixels that there are
    np.testing.assert_allclose(after[inside], before[inside], atol=0.05)
    assert after.min() < -5
    assert after.max() > 5


@pytest.mark.parametrize("stored", AFFINES)
def test_a_deviation_comes_home_from_a_cube(tmp_path: Path, stored: str) -> None:
    scan = write_volume(tmp_path / "t1.nii.gz", head(SHAPE), AFFINES[stored])
    expected = write_volume(tmp_path / "expected.nii.gz", ramp(), AFFINES[stored])
    frame = cube(90, 0.7)
    origin = origin_of(scan, frame)
    spacing_mm, centre = origin.placed_cube
    held = fit_to_cube(ramp(), origin.grid.affine, size=frame.size, spacing_mm=spacing_mm, centre=centre)
    write_scan(tmp_path / "home.nii.gz", origin.place(restore_grid([held], origin)))
    before, after = same_file(expected, tmp_path / "home.nii.gz")
    inside = (slice(2, -2),) * 3  # beyond the rim of the volume the cube holds 0
    np.testing.assert_allclose(after[inside], before[inside], atol=0.02)


def test_a_deviation_comes_home_to_a_picture() -> None:
    grey = picture(height=45, width=30)
    origin = fit_voxels(Scan(voxels=grey), Frame(size=30)).origin
    canvas = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    home = restore_grid([canvas], origin)
    reference = np.asarray(Image.fromarray(canvas[:, 5:25]).resize((30, 45), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(home, reference, atol=1e-5)
    assert home.min() < 0
    assert np.array_equal(restore_slice(canvas, origin), home)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_labels_come_home_to_a_picture_and_stay_labels(dtype: type) -> None:
    origin = fit_voxels(Scan(voxels=picture(height=20, width=30)), Frame(size=60)).origin
    labels = np.random.default_rng(0).integers(0, 200, (20, 30)).astype(dtype)
    canvas = np.zeros((60, 60), dtype)
    canvas[10:50] = labels.repeat(2, axis=0).repeat(2, axis=1)
    home = restore_grid([canvas], origin, labels=True)
    assert home.dtype == dtype
    np.testing.assert_array_equal(home, labels)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("stored", ["LAS", "PSR"])
def test_labels_come_home_from_slices(tmp_path: Path, axis: Axis, stored: str) -> None:
    scan = write_volume(tmp_path / "t1.nii.gz", head(SHAPE), AFFINES[stored])
    expected = write_volume(tmp_path / "expected.nii.gz", blocks(), AFFINES[stored])
    origin = origin_of(scan, slices(axis, 90))
    size = 3 * max(origin.stack.slice_shape)
    canvases = []
    for index in range(len(origin.stack)):
        large = origin.stack.slice(blocks(), index).repeat(3, axis=0).repeat(3, axis=1)
        top, left = (size - large.shape[0]) // 2, (size - large.shape[1]) // 2
        canvas = np.zeros((size, size), np.int16)
        canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
        canvases.append(canvas)
    write_scan(tmp_path / "home.nii.gz", origin.place(restore_grid(canvases, origin, labels=True)))
    np.testing.assert_array_equal(*same_file(expected, tmp_path / "home.nii.gz"))


@pytest.mark.parametrize(("size", "spacing_mm"), [(32, 1.0), (64, 0.5)])
def test_labels_come_home_from_a_cube(tmp_path: Path, size: int, spacing_mm: float) -> None:
    scan = write_volume(tmp_path / "t1.nii.gz", head(SHAPE), PSR)
    expected = write_volume(tmp_path / "expected.nii.gz", blocks(), PSR)
    origin = origin_of(scan, cube(size, spacing_mm))
    place = {"size": size, "spacing_mm": spacing_mm, "centre": origin.placed_cube[1]}
    kinds = np.unique(blocks())
    shares = [fit_to_cube((blocks() == kind).astype(np.float32), np.eye(4), **place) for kind in kinds]
    held = np.where(np.sum(shares, axis=0) > 0, kinds[np.argmax(shares, axis=0)], 0).astype(np.int16)
    write_scan(tmp_path / "home.nii.gz", origin.place(restore_grid([held], origin, labels=True)))
    np.testing.assert_array_equal(*same_file(expected, tmp_path / "home.nii.gz"))


def test_beyond_the_cube_there_is_nothing(tmp_path: Path) -> None:
    origin = origin_of(write_volume(tmp_path / "t1.nii.gz", head((40, 48, 32))), cube(16, 1.0))
    ones = np.ones((16, 16, 16), np.float32)
    for labels in (False, True):
        home = restore_grid([ones], origin, labels=labels)
        assert home.shape == (40, 48, 32)
        assert set(np.unique(home)) == {0, 1}
        assert home.sum() == 16**3
        assert home[20, 24, 16] == 1


@pytest.mark.parametrize("frame", [slices("axial", 40), cube(40, 0.9)])
def test_a_probability_stays_one_whatever_the_grey_values_are(tmp_path: Path, frame: Frame) -> None:
    origin = origin_of(write_volume(tmp_path / "t1.nii.gz", head(SHAPE), OBLIQUE), frame)
    rng, count = np.random.default_rng(0), len(origin.stack) if origin.is_sliced else 1
    images = list(rng.random((count, *frame.shape), np.float32))
    home = restore_grid(images, origin)
    assert home.dtype == np.float32
    assert 0 <= home.min() < home.max() <= 1
    grey = restore_scan(images, origin)  # the second step: the same places, in the scan's own units
    assert grey.voxels.dtype == np.uint16
    np.testing.assert_array_equal(grey.voxels, origin.intensity.from_unit(home))


def test_a_difference_in_grey_values_has_no_offset() -> None:
    intensity = IntensityMap(low=-1000.0, high=500.0, bit_depth=32)
    before, after = np.float32([0.2, 0.5]), np.float32([0.1, 0.9])
    difference = intensity.difference_from_unit(after - before)
    np.testing.assert_allclose(difference, intensity.from_unit(after) - intensity.from_unit(before), rtol=1e-5)


def test_what_does_not_belong_to_the_scan_is_refused(tmp_path: Path) -> None:
    scan = write_volume(tmp_path / "t1.nii.gz", head(SHAPE))
    in_slices, in_cube = origin_of(scan, slices("axial", 32)), origin_of(scan, cube(32, 1.0))
    flat, deep = np.zeros((32, 32), np.float32), np.zeros((32, 32, 32), np.float32)
    with pytest.raises(ValueError, match="expected all 20 slices of a volume, got 19"):
        restore_grid([flat] * 19, in_slices)
    with pytest.raises(ValueError, match="expected one array for a cube, got 2"):
        restore_grid([deep, deep], in_cube)
    with pytest.raises(ValueError, match="origin: expected a picture or slices, got a cube"):
        restore_slice(flat, in_cube)
