"""Masks: which are taken, where they lie, and what they leave alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scans.heads import LAS, OBLIQUE, PSR, RAS, head, write_volume
from voxlex.errors import DataError
from voxlex.images.canvas import restore_from_canvas
from voxlex.images.fit import fit_voxels
from voxlex.images.frame import Frame
from voxlex.images.region import read_region, region_in_image, with_values
from voxlex.scans.read_write import read_scan
from voxlex.scans.scan import Scan

SHAPE = (24, 30, 20)


@pytest.fixture
def corner() -> np.ndarray:
    """A region on the right, in front, on top."""
    region = np.zeros(SHAPE, np.uint8)
    region[14:20, 17:24, 12:16] = 1
    return region


@pytest.mark.parametrize("affine", [RAS, LAS, PSR, OBLIQUE])
def test_a_mask_of_the_same_grid_is_the_region(tmp_path: Path, corner: np.ndarray, affine: np.ndarray) -> None:
    scan = read_scan(write_volume(tmp_path / "head.nii.gz", head(SHAPE), affine))
    region = read_region(write_volume(tmp_path / "mask.nii", corner.astype(np.float32), affine), scan)
    np.testing.assert_array_equal(region, corner == 1)


def test_the_order_of_axes_in_the_file_does_not_matter(tmp_path: Path, corner: np.ndarray) -> None:
    scan = read_scan(write_volume(tmp_path / "head.nii.gz", head(SHAPE), RAS))
    turned = LAS.copy()
    turned[0, 3] = SHAPE[0] - 1  # x runs to the left, from where it ends otherwise
    region = read_region(write_volume(tmp_path / "mask.nii.gz", corner, turned), scan)
    np.testing.assert_array_equal(region, corner == 1)


def test_masks_that_do_not_fit_are_refused_by_name(tmp_path: Path, corner: np.ndarray) -> None:
    scan = read_scan(write_volume(tmp_path / "head.nii.gz", head(SHAPE), RAS))
    moved, rounded = RAS.copy(), RAS.copy()
    moved[2, 3], rounded[2, 3] = -2.5, 1e-4
    write_volume(tmp_path / "moved.nii.gz", corner, moved)
    write_volume(tmp_path / "cut.nii.gz", corner[:, :, :-1], RAS)
    write_volume(tmp_path / "empty.nii.gz", 0 * corner, RAS)
    Image.fromarray(corner[:, :, 14]).save(tmp_path / "picture.png")
    refused = {
        "moved.nii.gz": r"up to 2.5 mm from .* expected the affine \[1 0 0 0; .*\], got \[.*; 0 0 1 -2.5\]",
        "cut.nii.gz": r"expected a mask with the size of the scan, 24×30×20 voxels .*, got 24×30×19 voxels",
        "empty.nii.gz": r"expected a mask that is not 0 everywhere",
        "picture.png": r"expected .* 24×30×20 voxels .*, got 24×30 pixels",
        "none.nii.gz": "no such file",
    }
    for name, said in refused.items():
        with pytest.raises(DataError, match=rf"^{tmp_path / name}: .*{said}"):
            read_region(tmp_path / name, scan)
    read_region(write_volume(tmp_path / "rounded.nii.gz", corner, rounded), scan)


@pytest.mark.parametrize("size", [16, 40, 100])
def test_every_pixel_of_a_region_is_made_of_the_region_on_the_canvas(size: int) -> None:
    pixels = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    origin = fit_voxels(Scan(voxels=pixels), Frame(size=size)).origin
    region = np.zeros((40, 60), bool)
    region[7, 11] = region[20:29, 30:50] = True
    found = region_in_image(region, origin, size=size)
    filled = restore_from_canvas(found.astype(np.float32), shape=(40, 60))
    assert filled[region] == pytest.approx(1.0)
    assert found.mean() < 0.3


def test_slices_are_refused() -> None:
    origin = fit_voxels(Scan(voxels=head(SHAPE)), Frame(size=16)).origin
    with pytest.raises(ValueError, match="expected a picture or a whole volume, got axial slices"):
        region_in_image(np.ones(SHAPE, bool), origin, size=16)


def test_new_values_stay_within_the_type_and_the_region() -> None:
    scan = Scan(voxels=np.full((4, 4), 7, np.uint8))
    region = np.zeros((4, 4), bool)
    region[1, 1:] = True
    changed = with_values(scan, region, np.array([1.6, -3.0, 300.0]))
    assert changed.voxels.dtype == np.uint8
    assert changed.voxels[1].tolist() == [7, 2, 0, 255]
    assert (changed.voxels[~region] == 7).all()
    assert (scan.voxels == 7).all()
