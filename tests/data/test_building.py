from pathlib import Path

import numpy as np

from voxlex.data.building import Spool

CANVASES = [np.full((4, 4), value, np.uint8) for value in (0, 100, 255)]


def test_the_array_lies_in_the_order_asked_for(tmp_path: Path):
    with (tmp_path / "scratch").open("w+b") as file:
        spool = Spool(file, shape=(4, 4))
        for pixels in CANVASES:
            spool.append(pixels)
        spool.write_array(tmp_path / "images.npy", order=np.array([2, 0, 1]))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert (images.shape, images.dtype) == ((3, 1, 4, 4), np.uint8)
    assert images[:, 0, 0, 0].tolist() == [255, 0, 100]


def test_one_deep_image_widens_the_others_and_white_stays_white(tmp_path: Path):
    with (tmp_path / "scratch").open("w+b") as file:
        spool = Spool(file, shape=(4, 4))
        for pixels in (*CANVASES, np.full((4, 4), 1234, np.uint16)):
            spool.append(pixels)
        spool.write_array(tmp_path / "images.npy", order=np.arange(4))
    images = np.load(tmp_path / "images.npy")
    assert images.dtype == np.uint16
    assert images[:, 0, 0, 0].tolist() == [0, 100 * 257, 65535, 1234]
