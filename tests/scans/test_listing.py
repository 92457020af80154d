import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scans.dicom_files import make_dicom_picture, make_dicom_series, make_enhanced_file
from scans.volumes import affine_of
from voxlex.errors import DataError
from voxlex.scans.listing import find_scans, list_scans
from voxlex.scans.read_write import read_scan
from voxlex.scans.suffixes import is_volume


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_pictures_and_volumes_are_found_at_all_depths_and_sorted(tmp_path: Path):
    _touch(tmp_path, "b/2.PNG", "b/c/t1.nii.gz", "a.NII", "notes.txt", "b/t1.json", ".hidden/1.png", ".2.png", "c.gz")
    assert find_scans(tmp_path) == ["a.NII", "b/2.PNG", "b/c/t1.nii.gz"]


def test_files_that_may_hold_scans_and_are_not_read_are_counted(tmp_path: Path):
    _touch(tmp_path, "a.png", "b.BMP", "c/d.bmp", "c/e.nii.bz2", "f.tar.gz", "notes.txt", "x.json", "README.gz")
    found = list_scans(tmp_path)
    assert found.scans == ["a.png"]
    assert found.notes == [
        "passed over 4 files of kinds that are not read: .bmp (2), .nii.bz2 (1), .tar.gz (1); if they hold scans, "
        "convert or unpack them"
    ]
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"expected at least one scan, got none.*passed over 4 files of kinds"):
        list_scans(tmp_path)


def test_links_in_a_circle_end(tmp_path: Path):
    _touch(tmp_path, "a/1.nii")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    assert find_scans(tmp_path) == ["a/1.nii"]


def test_files_whose_names_tell_their_kind_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _touch(tmp_path, "1.png", "a/2.nii.gz", "a/notes.txt")

    def opened(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr("builtins.open", opened)
    assert find_scans(tmp_path) == ["1.png", "a/2.nii.gz"]


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


def test_views_and_multi_frame_files_of_one_series_are_scans_of_their_own(tmp_path: Path):
    for name in ("front.dcm", "side.dcm"):
        make_dicom_picture(_touch(tmp_path, f"x-ray/{name}") / "x-ray" / name, np.eye(9, dtype=np.uint8))
        values = np.zeros((9, 8, 3), np.int16)
        make_enhanced_file(
            _touch(tmp_path, f"mr/{name}") / "mr" / name, values, affine_of("LPS"), slopes=[1.0, 1.0, 1.0]
        )
    assert find_scans(tmp_path) == ["mr/front.dcm", "mr/side.dcm", "x-ray/front.dcm", "x-ray/side.dcm"]


def test_reports_are_no_scans_and_damaged_files_are(tmp_path: Path):
    report = (Path(pydicom.__file__).parent / "data" / "test_files" / "test-SR.dcm").read_bytes()
    for name in ("reports/1.dcm", "reports/2.dcm", "x-ray/1.dcm"):
        (_touch(tmp_path, name) / name).write_bytes(report)
    make_dicom_picture(tmp_path / "x-ray" / "2.dcm", np.eye(9, dtype=np.uint8))
    (tmp_path / "x-ray" / "3.dcm").write_text("damaged")
    assert find_scans(tmp_path) == ["x-ray/2.dcm", "x-ray/3.dcm"]
    _series(tmp_path / "series")
    (tmp_path / "series" / "002.dcm").write_text("damaged")
    assert find_scans(tmp_path / "series") == ["."]
    with pytest.raises(DataError, match=r"002\.dcm: is not a DICOM file, or is damaged or cut short"):
        read_scan(tmp_path / "series")


def test_series_in_one_folder_are_listed_and_read_apart(tmp_path: Path):
    _series(tmp_path / "a", names="a{}.dcm")
    _series(tmp_path / "a", 5, names="b{}.dcm", SeriesInstanceUID="2.25.8")
    assert find_scans(tmp_path) == ["a/series-1", "a/series-2"]
    assert [read_scan(tmp_path / name).voxels.shape for name in find_scans(tmp_path)] == [(9, 8, 3), (9, 8, 5)]
    assert read_scan(tmp_path / "a", series=2).voxels.shape == (9, 8, 5)
    with pytest.raises(DataError, match=r"a: holds 2 DICOM series; choose one with --series 1"):
        read_scan(tmp_path / "a")
    with pytest.raises(
        DataError, match=r"series-3: expected series-1 \(3 slices\), series-2 \(5 slices\), got series-3"
    ):
        read_scan(tmp_path / "a" / "series-3")


def test_folders_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_scans(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"1\.png: expected a folder of scans, got a file"):
        find_scans(_touch(tmp_path, "1.png") / "1.png")


def test_volumes_are_told_by_name(tmp_path: Path):
    assert is_volume("a/b.nii.gz")
    assert is_volume(tmp_path)
    assert not is_volume("a/b.png")
    assert is_volume("a/b.dcm")
    assert is_volume(_series(tmp_path, 1, names="IM1")[0])
    assert not is_volume(_touch(tmp_path, "README") / "README")
