"""Several series, localisers, reports and single files in one folder are told apart, listed and read apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scans.dicom_files import make_dicom_picture, make_dicom_series, make_enhanced_file
from scans.volumes import affine_of
from voxlex.data.scan_source import ScanSource
from voxlex.dicom.series import names_of_scans
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.scans.listing import dicom_files, files_of_scan, find_scans
from voxlex.scans.read_write import read_scan
from voxlex.scans.suffixes import is_volume

_REPORT = (Path(pydicom.__file__).parent / "data" / "test_files" / "test-SR.dcm").read_bytes()


def _series(folder: Path, name: str, count: int, *, orientation: str = "LPS", uid: int = 1, **tags: Any) -> np.ndarray:
    values = np.random.default_rng(uid).integers(0, 900, (20, 16, count)).astype(np.int16)
    uids = {"SeriesInstanceUID": f"2.25.{uid}", "SOPInstanceUID": lambda index: f"2.25.{uid}.{index + 1}"}
    make_dicom_series(folder, values, affine_of(orientation), names=f"{name}{{:03d}}.dcm", **uids, **tags)
    return values


def test_series_are_called_by_their_numbers(tmp_path: Path):
    first = _series(tmp_path / "p" / "all", "a", 12, uid=1, SeriesNumber=7)
    second = _series(tmp_path / "p" / "all", "b", 5, uid=2, SeriesNumber=3)
    assert find_scans(tmp_path) == ["p/all/series-3", "p/all/series-7"]
    for name, values in (("series-7", first), ("series-3", second)):
        place = tmp_path / "p" / "all" / name
        assert is_volume(place)
        assert files_of_scan(place) == dicom_files(tmp_path / "p" / "all")
        np.testing.assert_array_equal(read_scan(place).voxels[::-1, ::-1], values)
    np.testing.assert_array_equal(read_scan(tmp_path / "p" / "all", series=7).voxels[::-1, ::-1], first)
    with pytest.raises(
        DataError, match=r"all: holds 2 DICOM series; choose one with --series 3 \(5 slices\); --series 7"
    ):
        read_scan(tmp_path / "p" / "all")
    with pytest.raises(DataError, match=r"expected series-3 \(5 slices\), series-7 \(12 slices\), got series 4"):
        read_scan(tmp_path / "p" / "all", series=4)
    with pytest.raises(DataError, match="got series 3, which is not there"):
        read_scan(tmp_path / "p" / "all" / "series-7", series=3)


@pytest.mark.parametrize("numbers", [(None, None), (4, 4), (None, 2)])
def test_series_without_numbers_of_their_own_are_counted(tmp_path: Path, numbers: tuple[int | None, int | None]):
    _series(tmp_path, "a", 9, uid=1, SeriesNumber=numbers[0] or "")
    _series(tmp_path, "b", 5, uid=2, SeriesNumber=numbers[1] or "")
    assert find_scans(tmp_path) == ["series-1", "series-2"]
    assert sorted(read_scan(tmp_path, series=number).voxels.shape[2] for number in (1, 2)) == [5, 9]


def test_a_localiser_is_left_out_of_the_list(tmp_path: Path):
    _series(tmp_path, "a", 9)
    for index, orientation in enumerate(("LPS", "PSR", "LIP")):
        _series(tmp_path, f"l{index}", 2, orientation=orientation, uid=2)
    assert find_scans(tmp_path) == ["."]
    assert read_scan(tmp_path).voxels.shape == (20, 16, 9)
    _, left = names_of_scans(dicom_files(tmp_path))
    assert (left[0].path.name, left[0].reason) == ("l0001.dcm", "is a slice of a localiser")
    assert len(left) == 6


def test_a_series_that_says_it_is_a_localiser(tmp_path: Path):
    _series(tmp_path, "a", 9)
    _series(tmp_path, "b", 9, uid=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert find_scans(tmp_path) == ["."]
    _series(tmp_path / "alone", "b", 9, uid=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert find_scans(tmp_path / "alone") == []


def test_sets_of_slices_in_one_series_are_read_apart(tmp_path: Path):
    _series(tmp_path, "a", 9, SeriesNumber=2)
    _series(tmp_path, "s", 8, orientation="PSR", SeriesNumber=2)
    assert find_scans(tmp_path) == ["series-2-axial", "series-2-sagittal"]
    assert read_scan(tmp_path / "series-2-axial").voxels.shape == (20, 16, 9)
    assert read_scan(tmp_path / "series-2-sagittal").voxels.shape == (8, 20, 16)
    with pytest.raises(
        DataError, match=r"holds 2 sets of parallel slices in one series; choose one with the path .*-axial"
    ):
        read_scan(tmp_path)


def test_other_files_beside_slices_are_scans_of_their_own(tmp_path: Path):
    _series(tmp_path, "a", 9)
    make_enhanced_file(tmp_path / "e.dcm", np.zeros((9, 8, 3), np.int16), affine_of("LPS"), slopes=[1.0] * 3)
    make_dicom_picture(tmp_path / "x.dcm", np.zeros((9, 8), np.uint16), SeriesInstanceUID="2.25.9")
    (tmp_path / "r.dcm").write_bytes(_REPORT)
    assert find_scans(tmp_path) == [".", "e.dcm", "x.dcm"]
    assert read_scan(tmp_path).voxels.shape == (20, 16, 9)


def test_a_slice_without_a_place_is_missed(tmp_path: Path):
    _series(tmp_path, "a", 9, ImagePositionPatient=lambda index: [0, 0, index] if index < 8 else "")
    assert find_scans(tmp_path) == ["."]
    with pytest.raises(DataError, match="1 of its 9 DICOM files do not say where their slice lies"):
        read_scan(tmp_path)


def test_a_tag_that_makes_no_sense_refuses_its_series_alone(tmp_path: Path):
    _series(tmp_path, "a", 9, SeriesNumber=1)
    _series(tmp_path, "b", 9, uid=2, SeriesNumber=2, RescaleIntercept=0, RescaleSlope=lambda index: index)
    assert find_scans(tmp_path) == ["series-1", "series-2"]
    assert read_scan(tmp_path / "series-1").voxels.shape == (20, 16, 9)
    with pytest.raises(DataError, match=r"b009\.dcm: expected another number than 0 in RescaleSlope"):
        read_scan(tmp_path / "series-2")


@pytest.mark.parametrize("count", [1, 2])
def test_reports_are_passed_over(tmp_path: Path, count: int):
    _series(tmp_path / "images", "a", 9)
    for number in range(count):
        (tmp_path / "reports").mkdir(exist_ok=True)
        (tmp_path / "reports" / f"{number}").write_bytes(_REPORT)
    (tmp_path / "dicomdir.dcm").write_bytes(
        (Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/DICOMDIR").read_bytes()
    )
    assert find_scans(tmp_path) == ["images"]
    with pytest.raises(DataError, match="reports: expected DICOM files that hold images, got none"):
        read_scan(tmp_path / "reports")


def test_a_report_in_a_table_is_skipped_with_the_cause(tmp_path: Path):
    for number in range(4):
        _series(tmp_path / str(number), "a", 9, uid=number + 1)
    (tmp_path / "r.dcm").write_bytes(_REPORT)
    (tmp_path / "scans.csv").write_text("path,subject\n0,a\n1,b\n2,c\n3,d\nr.dcm,e\n")
    dataset = ScanSource.at(tmp_path / "scans.csv").prepare(tmp_path / "out", Frame(size=16))
    assert [(skip.path, skip.reason) for skip in dataset.skipped] == [("r.dcm", "is a DICOM file without an image")]


def test_series_of_a_folder_are_prepared_and_known_again(tmp_path: Path):
    for number in range(3):
        _series(tmp_path / "in", f"{number}-", 9, uid=number + 1, SeriesNumber=number)
    source = ScanSource.at(tmp_path / "in")
    dataset = source.prepare(tmp_path / "out", Frame(size=16))
    assert sorted(dataset.manifest["path"].unique()) == ["series-0", "series-1", "series-2"]
    before = source.state(Frame(size=16))
    path = tmp_path / "in" / "0-003.dcm"
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert source.state(Frame(size=16)) != before


def test_reports_and_localisers_are_named(tmp_path: Path):
    for number in range(4):
        _series(tmp_path / "study" / str(number), "a", 9, uid=number + 1)
    (tmp_path / "study" / "2" / "report.dcm").write_bytes(_REPORT)
    dataset = ScanSource.at(tmp_path / "study").prepare(tmp_path / "out", Frame(size=16))
    assert sorted(dataset.manifest["path"].unique()) == ["0", "1", "2", "3"]
    (note,) = dataset.passed_over
    assert note.endswith("DICOM files that are not scans: 2/report.dcm (is a DICOM file without an image)")
