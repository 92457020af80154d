from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.data.fitting import load_on_canvas, restore_scan
from voxlex.data.intensity import ConstantImageError
from voxlex.data.scans import Scan, write_scan

from .conftest import picture


@pytest.mark.parametrize("scale", [1, 257])
def test_there_and_back_at_the_same_size_is_exact(tmp_path: Path, scale: int):
    grey = picture().astype(np.uint8 if scale == 1 else np.uint16) * scale
    write_scan(tmp_path / "a.png", Scan(voxels=grey))
    loaded = load_on_canvas(tmp_path / "a.png", size=24)
    assert loaded.pixels.dtype == grey.dtype
    unit = loaded.pixels / np.iinfo(grey.dtype).max
    restored = restore_scan(unit, height=loaded.height, width=loaded.width, intensity=loaded.intensity)
    assert restored.voxels.dtype == grey.dtype
    np.testing.assert_array_equal(restored.voxels, grey)


def test_a_float_scan_comes_back_in_its_own_size_and_units(tmp_path: Path):
    rows, columns = np.mgrid[0:100, 0:60]
    grey = (np.sin(rows / 20) * np.cos(columns / 25) * 1500 + 400).astype(np.float32)
    write_scan(tmp_path / "a.tif", Scan(voxels=grey))
    loaded = load_on_canvas(tmp_path / "a.tif", size=128)
    restored = restore_scan(loaded.pixels / 65535, height=100, width=60, intensity=loaded.intensity)
    assert restored.voxels.shape == (100, 60)
    assert np.abs(restored.voxels - grey).max() < 0.03 * np.ptp(grey)


def test_a_reduced_jpeg_decoding_looks_like_the_full_one(tmp_path: Path):
    large = Image.fromarray(picture(height=64, width=48)).resize((768, 1024), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    large.save(tmp_path / "a.png")
    by_jpeg, by_png = (load_on_canvas(tmp_path / name, size=64) for name in ("a.jpg", "a.png"))
    assert (by_jpeg.height, by_jpeg.width) == (by_png.height, by_png.width) == (1024, 768)
    assert np.abs(by_jpeg.pixels.astype(float) - by_png.pixels).mean() < 1


def test_a_constant_image_is_named(tmp_path: Path):
    write_scan(tmp_path / "flat.png", Scan(voxels=np.full((10, 10), 3, np.uint8)))
    with pytest.raises(ConstantImageError, match=r"flat\.png: constant image"):
        load_on_canvas(tmp_path / "flat.png", size=24)
