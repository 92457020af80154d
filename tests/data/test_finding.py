import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxlex.data.scans import find_scans, is_volume, read_scan
from voxlex.errors import DataError

from .dicom_files import make_dicom_series
from .volumes import affine_of


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_pictures_and_volumes_are_found_at_all_depths_and_sorted(tmp_path: Path):
    _touch(tmp_path, "b/2.PNG", "b/c/t1.nii.gz", "a.NII", "notes.txt", "b/t1.json", ".hidden/1.png", ".2.png", "c.gz")
    assert find_scans(tmp_path) == ["a.NII", "b/2.PNG", "b/c/t1.nii.gz"]


def test_links_in_a_circle_end(tmp_path: Path):
    _touch(tmp_path, "a/1.nii")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop").symlink_to("loop")
    assert find_scans(tmp_path) == ["a/1.nii"]


def test_a_folder_of_very_many_files_is_listed_in_seconds(tmp_path: Path):
    (tmp_path / "0.png").touch()
    for number in range(1, 20_000):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    started = time.process_time()
    assert len(find_scans(tmp_path)) == 20_000
    assert time.process_time() - started < 2


def _series(folder: Path, count: int = 3, **more: Any) -> list[Path]:
    return make_dicom_series(folder, np.zeros((9, 8, count), np.int16), affine_of("LPS"), **more)


@pytest.mark.parametrize("names", ["{:03d}.dcm", "IM{:04d}", "1.2.840.{}", "{}.IMA"])
def test_the_files_of_a_series_count_once_as_their_folder(tmp_path: Path, names: str):
    _series(tmp_path / "sub-01" / "t1", names=names)
    _touch(tmp_path, "sub-01/t1/notes.txt", "sub-01/t1/README", "sub-01/t1/DICOMDIR", "1.png")
    assert find_scans(tmp_path) == ["1.png", "sub-01/t1"]
    assert find_scans(tmp_path / "sub-01" / "t1") == ["."]
    assert read_scan(tmp_path / "sub-01" / find_scans(tmp_path / "sub-01")[0]).voxels.shape == (9, 8, 3)


def test_single_dicom_files_are_scans_of_their_own(tmp_path: Path):
    _series(tmp_path / "alone", 1)
    for number in range(5):
        _series(tmp_path / "x-rays", 1, names=f"{number}.dcm", SeriesInstanceUID=f"2.25.{number}")
    assert find_scans(tmp_path) == ["alone/001.dcm", *(f"x-rays/{number}.dcm" for number in range(5))]


def test_mixed_series_are_listed_once_and_refused_when_read(tmp_path: Path):
    _series(tmp_path / "a", names="a{}.dcm")
    _series(tmp_path / "a", names="b{}.dcm", SeriesInstanceUID="2.25.8")
    assert find_scans(tmp_path) == ["a"]
    with pytest.raises(DataError, match="holds 2 DICOM series"):
        read_scan(tmp_path / "a")


def test_folders_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_scans(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"1\.png: a folder of scans is expected here, not a file"):
        find_scans(_touch(tmp_path, "1.png") / "1.png")


def test_volumes_are_told_by_name(tmp_path: Path):
    assert is_volume("a/b.nii.gz")
    assert is_volume(tmp_path)
    assert not is_volume("a/b.png")
    assert is_volume("a/b.dcm")
    assert is_volume(_series(tmp_path, 1, names="IM1")[0])
    assert not is_volume(_touch(tmp_path, "README") / "README")
