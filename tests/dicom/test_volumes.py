"""Several volumes in one series or file are told apart, named, and chosen."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence

from scans.dicom_files import make_dicom_series, make_enhanced_file
from scans.volumes import affine_of
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan

_LPS = affine_of("LPS")


def _values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, (9, 8, 4)).astype(np.int16)


def _series(folder: Path, **differing: list[Any]) -> None:
    """Write a series of two volumes at the same places, which differ in some tags."""
    for number in range(2):
        tags = {name: values[number] for name, values in differing.items()}
        make_dicom_series(folder, _values(number), _LPS, names=f"{number}-{{}}.dcm", **tags)


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ({"EchoTime": [80, 20]}, ["echo 2, TE 80 ms", "echo 1, TE 20 ms"]),
        ({"DiffusionBValue": [1000.0, 0.0]}, ["b=1000", "b=0"]),
        ({"ImageType": [["ORIGINAL", "PRIMARY", "P"], ["ORIGINAL", "PRIMARY", "M"]]}, ["phase", "magnitude"]),
        ({"TemporalPositionIdentifier": [1, 2]}, ["time 1", "time 2"]),
        ({"AcquisitionNumber": [7, 5]}, ["acquisition 7", "acquisition 5"]),
        ({"InversionTime": [900, 300]}, ["TI 900 ms", "TI 300 ms"]),
    ],
)
def test_volumes_are_chosen_by_what_differs(tmp_path: Path, tags: dict[str, list[Any]], names: list[str]):
    _series(tmp_path, **tags)
    with pytest.raises(DataError, match=r"expected one volume, got 2; choose one with --volume 0 \(") as caught:
        read_scan(tmp_path)
    for seed, name in enumerate(names):
        assert f"({name}: 4 slices of 9×8 pixels)" in str(caught.value)
        voxels = read_scan(tmp_path, volume=name).voxels
        np.testing.assert_array_equal(voxels[::-1, ::-1], _values(seed))
        number = sorted(names, key=lambda one: str(caught.value).index(one)).index(name)
        np.testing.assert_array_equal(read_scan(tmp_path, volume=number).voxels, voxels)
        np.testing.assert_array_equal(read_scan(tmp_path, volume=str(number)).voxels, voxels)
    with pytest.raises(
        DataError, match="expected one volume of those there are, got volume 2; choose one with --volume 0"
    ):
        read_scan(tmp_path, volume=2)
    with pytest.raises(DataError, match="got volume flair; choose one with --volume 0"):
        read_scan(tmp_path, volume="flair")


def test_a_part_of_a_name_is_enough(tmp_path: Path):
    _series(tmp_path, EchoTime=[80, 20])
    np.testing.assert_array_equal(read_scan(tmp_path, volume="TE 80 ms").voxels[::-1, ::-1], _values(0))


def test_numbers_that_differ_from_slice_to_slice_are_not_volumes(tmp_path: Path):
    make_dicom_series(
        tmp_path, _values(0), _LPS, AcquisitionNumber=lambda index: index, TriggerTime=lambda index: index
    )
    assert read_scan(tmp_path).voxels.shape == (9, 8, 4)
    with pytest.raises(DataError, match="expected volume 0 alone, got volume 1"):
        read_scan(tmp_path, volume=1)


def test_echoes_and_times_in_one_file(tmp_path: Path):
    path = make_enhanced_file(tmp_path / "a.dcm", np.concatenate([_values(0), _values(1)], 2), _LPS, slopes=[1.0] * 8)
    dataset = pydicom.dcmread(path)
    groups = dataset.PerFrameFunctionalGroupsSequence  # the last slice comes first
    for index, group in enumerate(groups):
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2 * ((7 - index) % 4)]
        echo, outer = pydicom.Dataset(), pydicom.Dataset()
        echo.EffectiveEchoTime = 20.0 if index >= 4 else 80.0
        outer.MREchoSequence = Sequence([echo])
        group.MRImageFrameTypeSequence = Sequence([outer])  # deeper than where it belongs
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"--volume 0 \(echo 1, TE 20 ms: 4 slices .*--volume 1 \(echo 2, TE 80 ms"):
        read_scan(path)
    np.testing.assert_array_equal(read_scan(path, volume=0).voxels[::-1, ::-1], _values(0))
    np.testing.assert_array_equal(read_scan(path, volume="TE 80 ms").voxels[::-1, ::-1], _values(1))


def test_planes_of_several_directions_in_one_file(tmp_path: Path):
    path = make_enhanced_file(tmp_path / "a.dcm", np.concatenate([_values(0), _values(1)], 2), _LPS, slopes=[1.0] * 8)
    dataset = pydicom.dcmread(path)
    for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        if index < 4:
            group.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
            group.PlanePositionSequence[0].ImagePositionPatient = [2 * index, 0, 0]
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"--volume 0 \(sagittal: 4 slices of 9×8 pixels\), --volume 1 \(axial: 4"):
        read_scan(path)
    assert read_scan(path, volume="axial").voxels.shape == (9, 8, 4)
    assert read_scan(path, volume="sagittal").voxels.shape == (4, 9, 8)


def test_copies_of_files_are_left_out(tmp_path: Path):
    paths = make_dicom_series(tmp_path, np.pad(_values(0), [(0, 0), (0, 0), (1, 0)]), _LPS)
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID += ".1"
        dataset.save_as(path.with_name(f"{path.stem} (1).dcm"))
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.voxels[::-1, ::-1, 1:], _values(0))
    assert scan.notes == ("5 files that repeat others were left out",)


@pytest.mark.parametrize(
    ("orientation", "given", "expected"), [("LPS", (2, 3, 9), (2, 3, 1.5)), ("PSR", (9, 3, 4), (1.5, 3, 4))]
)
def test_spacing_that_is_missing_is_asked_for(tmp_path: Path, orientation: str, given: tuple, expected: tuple):
    make_dicom_series(tmp_path, _values(0), affine_of(orientation), PixelSpacing=None, ImagerPixelSpacing=[5, 5])
    with pytest.raises(
        DataError, match=r"expected two lengths in PixelSpacing, got none: .* --reading\.spacing-mm X Y Z"
    ):
        read_scan(tmp_path)
    spacing = read_scan(tmp_path, spacing_mm=given).spacing_mm
    np.testing.assert_allclose(sorted(spacing), sorted(expected))
    np.testing.assert_allclose([spacing[axis] for axis in range(3) if given[axis] != 9], [g for g in given if g != 9])
    for wrong in ((1, 2), (1, 2, 0), (1, 2, -3)):
        with pytest.raises(DataError, match="spacing_mm: expected three distances above 0"):
            read_scan(tmp_path, spacing_mm=wrong)


def test_the_thickness_of_a_single_slice_is_asked_for(tmp_path: Path):
    (path,) = make_dicom_series(tmp_path, _values(0)[..., :1], _LPS, SliceThickness=None)
    with pytest.raises(DataError, match=r"001\.dcm: expected a length in SliceThickness, got none"):
        read_scan(path)
    np.testing.assert_allclose(read_scan(path, spacing_mm=(9, 9, 4)).spacing_mm, (0.8, 1.0, 4.0))
