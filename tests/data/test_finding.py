import os
import time
from pathlib import Path

import pytest

from voxlex.data.scans import find_scans, is_volume
from voxlex.errors import DataError


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


def test_folders_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_scans(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"1\.png: a folder of scans is expected here, not a file"):
        find_scans(_touch(tmp_path, "1.png") / "1.png")


def test_volumes_are_told_by_name(tmp_path: Path):
    assert is_volume("a/b.nii.gz")
    assert is_volume(tmp_path)
    assert not is_volume("a/b.png")
