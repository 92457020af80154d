from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scans.pictures import picture
from voxlex.images.fit import fit_scan
from voxlex.images.frame import Frame
from voxlex.images.intensity import ConstantImageError
from voxlex.images.restore import restore_scan
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan


@pytest.mark.parametrize("scale", [1, 257])
def test_there_and_back_at_the_same_size_is_exact(tmp_path: Path, scale: int):
    grey = picture().astype(np.uint8 if scale == 1 else np.uint16) * scale
    write_scan(tmp_path / "a.png", Scan(voxels=grey))
    (image,), origin, *_ = fit_scan(tmp_path / "a.png", Frame(size=24))
    assert image.dtype == grey.dtype
    restored = restore_scan([image / np.iinfo(grey.dtype).max], origin)
    assert restored.voxels.dtype == grey.dtype
    np.testing.assert_array_equal(restored.voxels, grey)


def test_a_float_scan_comes_back_in_its_own_size_and_units(tmp_path: Path):
    rows, columns = np.mgrid[0:100, 0:60]
    grey = (np.sin(rows / 20) * np.cos(columns / 25) * 1500 + 400).astype(np.float32)
    write_scan(tmp_path / "a.tif", Scan(voxels=grey))
    (image,), origin, *_ = fit_scan(tmp_path / "a.tif", Frame(size=128))
    restored = restore_scan([image / 65535], origin)
    assert restored.voxels.shape == (100, 60)
    assert np.abs(restored.voxels - grey).max() < 0.03 * np.ptp(grey)


def test_a_reduced_jpeg_decoding_looks_like_the_full_one(tmp_path: Path):
    large = Image.fromarray(picture(height=64, width=48)).resize((768, 1024), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    large.save(tmp_path / "a.png")
    by_jpeg, by_png = (fit_scan(tmp_path / name, Frame(size=64)) for name in ("a.jpg", "a.png"))
    for fitted in (by_jpeg, by_png):
        assert (fitted.origin.height, fitted.origin.width) == (1024, 768)
    assert np.abs(by_jpeg.images[0].astype(float) - by_png.images[0]).mean() < 1


def test_a_constant_image_is_named(tmp_path: Path):
    write_scan(tmp_path / "flat.png", Scan(voxels=np.full((10, 10), 3, np.uint8)))
    with pytest.raises(ConstantImageError, match=r"flat\.png: constant image"):
        fit_scan(tmp_path / "flat.png", Frame(size=24))
