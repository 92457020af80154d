"""What identifies a person in a DICOM file gets no further than the file."""

import logging
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest

from scans.dicom_files import (
    COMPRESSIONS,
    SECRETS,
    make_dicom_picture,
    make_dicom_series,
    make_enhanced_file,
    secrets_in,
)
from scans.volumes import affine_of, marked
from voxlex.errors import DataError
from voxlex.scans.listing import find_scans
from voxlex.scans.read_write import WRITTEN_SUFFIXES, read_scan, write_scan


def test_the_secrets_are_in_the_files(tmp_path: Path):
    path = make_dicom_series(tmp_path / "a", marked(affine_of("LPS")), affine_of("LPS"))[0]
    assert {"JANE", "DOE", *SECRETS.values()} <= set(secrets_in(path.read_bytes()))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_nothing_that_is_written_or_said_identifies_the_person(
    tmp_path: Path, compression: str | None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    affine = affine_of("LPS")
    make_dicom_series(tmp_path / "in" / "series", marked(affine), affine, compression=compression)
    make_enhanced_file(tmp_path / "in" / "enhanced.dcm", marked(affine), affine, slopes=[1.0] * 9)
    (tmp_path / "in" / "x-ray").mkdir()
    make_dicom_picture(tmp_path / "in" / "x-ray" / "picture.dcm", marked(affine)[:, :, 0].astype(np.uint16))
    (tmp_path / "out").mkdir()
    said = []
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        for name in find_scans(tmp_path / "in"):
            scan = read_scan(tmp_path / "in" / name)
            said += [name, repr(scan), repr(vars(scan)), repr(scan.stored and vars(scan.stored))]
            for suffix in WRITTEN_SUFFIXES:
                try:
                    write_scan(tmp_path / "out" / f"{Path(name).stem}{suffix}", scan)
                except DataError as cause:
                    said.append(str(cause))
    assert len(list((tmp_path / "out").iterdir())) >= 10
    for path in (tmp_path / "out").iterdir():
        assert secrets_in(path.read_bytes()) == [], path.name
    captured = capfd.readouterr()
    said += [captured.out, captured.err, caplog.text, *(str(warning.message) for warning in caught)]
    assert secrets_in(" ".join(said)) == []


@pytest.mark.parametrize("damage", ["cut short", "no number", "mixed", "scrambled"])
def test_errors_do_not_quote_the_file(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture):
    affine = affine_of("LPS")
    tags = {"SeriesInstanceUID": lambda index: f"2.25.1970010200{index}"} if damage == "mixed" else {}
    paths = make_dicom_series(tmp_path / "a", marked(affine), affine, **tags)
    content = paths[0].read_bytes()
    if damage == "cut short":
        paths[0].write_bytes(content[: content.index(b"DOE^JANE") + 20])
    elif damage == "no number":
        paths[0].write_bytes(content.replace(b"31.25\\", b"DOE^J\\"))
        assert paths[0].read_bytes() != content
    elif damage == "scrambled":
        paths[0].write_bytes(content.replace(b"DOE^JANE", b"DOE\\^\xff\x00E").replace(b"PN", b"UI"))
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        try:
            read_scan(tmp_path / "a")
        except DataError as cause:
            said = "".join(traceback.format_exception(cause))
        else:
            assert damage == "scrambled"  # in tags that are never looked at
            said = ""
    said += caplog.text + " ".join(str(warning.message) for warning in caught)
    assert secrets_in(said.replace(str(tmp_path), "")) == []


@pytest.mark.parametrize("modality", ["DOE", "JANE", "MR\\JANE", "19700102"])
def test_a_name_in_the_place_of_the_modality_is_not_taken_over(tmp_path: Path, modality: str):
    path = make_dicom_picture(tmp_path / "a.dcm", np.eye(9, dtype=np.uint8), Modality=modality.split("\\"))
    assert read_scan(path).modality == ""
