from pathlib import Path

import numpy as np
import pytest

from scans.dicom_files import make_dicom_series
from voxlex.errors import DataError
from voxlex.tables.manifest import INDEX_COLUMNS, index_source


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_are_found_at_all_depths_and_sorted(tmp_path: Path):
    _touch(tmp_path, "b/2.PNG", "b/1.jpg", "a.tiff", "b/c/3.JPEG", "x.tif")
    _touch(tmp_path, "notes.txt", "b/table.csv", ".hidden.png", ".cache/4.png", "volume.nii.gz")
    table = index_source(tmp_path).table
    assert tuple(table.columns) == INDEX_COLUMNS
    assert list(table["path"]) == ["a.tiff", "b/1.jpg", "b/2.PNG", "b/c/3.JPEG", "volume.nii.gz", "x.tif"]


def test_class_folders_become_labels(tmp_path: Path):
    table = index_source(
        _touch(tmp_path, "Training/glioma/1.jpg", "Training/none/1.jpg", "Testing/glioma/2.jpg", "0.jpg")
    ).table
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        "0.jpg": "",
        "Testing/glioma/2.jpg": "glioma",
        "Training/glioma/1.jpg": "glioma",
        "Training/none/1.jpg": "none",
    }


@pytest.mark.parametrize(
    "names",
    [
        ("images/1.png", "images/2.png"),
        ("sub-01/1.png", "sub-02/1.png"),
        ("train/1.png", "test/2.png"),
    ],
    ids=["one folder", "subjects", "splits"],
)
def test_other_folders_are_no_labels(tmp_path: Path, names: tuple[str, ...]):
    assert set(index_source(_touch(tmp_path, *names)).table["label"]) == {""}


def test_groups_are_subjects_where_known_else_files(tmp_path: Path):
    table = index_source(_touch(tmp_path, "case_001_slice_0.png", "case_001_slice_1.png", "other.png")).table
    assert list(table["subject"]) == ["case_001", "case_001", ""]
    assert list(table["slice"].fillna(-1)) == [0, 1, -1]
    assert list(table["group"]) == ["case_001", "case_001", "other.png"]


def test_links_in_a_circle_end(tmp_path: Path):
    _touch(tmp_path, "a/1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    paths = list(index_source(tmp_path).table["path"])
    assert len(paths) == 1
    assert paths[0].endswith("1.png")


def test_missing_source(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere: no such file or folder$"):
        index_source(tmp_path / "nowhere")


def test_a_single_scan_is_a_source_too(tmp_path: Path):
    index = index_source(_touch(tmp_path, "sub-07_T1w.nii.gz", "other.png") / "sub-07_T1w.nii.gz")
    assert index.root == tmp_path
    assert index.table[["path", "subject"]].to_numpy().tolist() == [["sub-07_T1w.nii.gz", "sub-07"]]


def test_a_folder_without_images(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected at least one scan, got none; looked for \.png, "):
        index_source(_touch(tmp_path, "notes.txt"))


def test_scans_are_listed_without_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _touch(tmp_path, *(f"class{number % 7}/sub-{number % 50:02d}_slice-{number}.png" for number in range(300)))

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    assert len(index_source(tmp_path).table) == 300


def test_a_folder_that_is_one_series_is_a_scan_of_its_name(tmp_path: Path):
    affine = np.eye(4)
    make_dicom_series(tmp_path / "sub-03" / "t1", np.zeros((8, 8, 4), np.int16), affine)
    index = index_source(tmp_path / "sub-03" / "t1")
    assert (index.root, list(index.table["path"])) == (tmp_path / "sub-03", ["t1"])
