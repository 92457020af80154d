"""The same grey values come out of every way in which a file can hold them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from scans.dicom_files import make_dicom_picture, make_dicom_series
from scans.volumes import affine_of
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def _packed(path: Path, frame: bytes, syntax: str) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path


def _coded(values: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


def _written(path: Path, values: np.ndarray, how: str, **tags: Any) -> Path:
    if how in ("rle", "jpeg 2000", "lossless jpeg"):
        series = make_dicom_series(
            path.parent / path.stem, values.T[..., None], affine_of("LPS"), compression=how, **tags
        )
        return series[0]
    make_dicom_picture(path, values, **tags)
    dataset = pydicom.dcmread(path)
    if how == "big endian":
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
        dataset["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    elif how == "implicit":
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    elif how == "deflated":
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
    return path


@pytest.mark.parametrize("how", ["usual", "big endian", "implicit", "deflated", "rle", "jpeg 2000", "lossless jpeg"])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("modality", ["MR", "CR", "CT"])
@pytest.mark.parametrize(
    ("dtype", "stored", "high"),
    [
        (np.uint8, 8, 7),
        (np.uint16, 16, 15),
        (np.uint16, 12, 11),
        (np.uint16, 12, 15),
        (np.int16, 12, 11),
        (np.int16, 16, 15),
    ],
)
def test_grey_values_do_not_depend_on_how_they_are_stored(
    tmp_path: Path, how: str, kind: str, modality: str, dtype: type, stored: int, high: int
):
    low = -(1 << stored - 1) if dtype == np.int16 else 0
    top = low + (1 << stored) - 1
    values = np.linspace(low, top, 16 * 20).astype(int).reshape(16, 20)
    cells = (values << (high + 1 - stored)).astype(dtype)
    path = _written(
        tmp_path / "a.dcm",
        cells,
        how,
        Modality=modality,
        PhotometricInterpretation=kind,
        BitsStored=stored,
        HighBit=high,
        RescaleSlope=2,
        RescaleIntercept=-100,
    )
    expected = 2 * (low + top - values if kind == "MONOCHROME1" and modality != "CT" else values) - 100
    voxels = read_scan(path).voxels
    np.testing.assert_array_equal(voxels[::-1, ::-1, 0].T if voxels.ndim == 3 else voxels, expected)


# JPEG-LS and JPEG of 12 bits have no encoder at hand: pydicom's files are turned round instead.
@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm", "MR_small_jp2klossless.dcm"])
def test_low_values_are_white_in_files_of_others(tmp_path: Path, name: str):
    dataset = pydicom.dcmread(PYDICOM_FILES / name)
    usual = read_scan(PYDICOM_FILES / name).voxels.astype(int)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(tmp_path / "a.dcm")
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation
    ends = -1 if signed else (1 << bits) - 1
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    turned = read_scan(tmp_path / "a.dcm").voxels
    np.testing.assert_array_equal(turned, slope * ends + 2 * intercept - usual)


def test_baseline_jpeg_of_low_values_in_white(tmp_path: Path):
    values = np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)
    path = make_dicom_picture(tmp_path / "a.dcm", values, PhotometricInterpretation="MONOCHROME1")
    _packed(path, _coded(values, "JPEG", quality=100), JPEGBaseline8Bit)
    np.testing.assert_allclose(read_scan(path).voxels.astype(int), 255 - values.astype(int), atol=4)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"BitsStored": 12, "HighBit": 10}, "expected 11 to 15 in HighBit, got 10"),
        ({"BitsStored": 12, "HighBit": 16}, "expected 11 to 15 in HighBit, got 16"),
        ({"BitsStored": 17, "HighBit": 16}, "expected 1 to 16 in BitsStored, as BitsAllocated says, got 17"),
        ({"BitsStored": 12, "HighBit": None}, "expected a number in HighBit, got none: the tag is missing or empty"),
        ({"PixelRepresentation": None}, "expected a number in PixelRepresentation, got none"),
        ({"PhotometricInterpretation": None}, "in PhotometricInterpretation, got nothing: the tag is missing"),
        ({"PhotometricInterpretation": "JANE"}, "in PhotometricInterpretation, got something else"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "expected another number than 0 in RescaleSlope"),
        (
            {"RescaleIntercept": -1024},
            "expected RescaleIntercept together with RescaleSlope, which is missing or empty",
        ),
        (
            {"RescaleSlope": "nan", "RescaleIntercept": 0},
            "expected finite numbers in RescaleSlope, got NaN or infinity",
        ),
        ({"Rows": None}, "expected a number of pixels in Rows, got none: the tag is missing or empty"),
    ],
)
def test_tags_that_are_missing_or_make_no_sense_are_named(tmp_path: Path, tags: dict[str, Any], message: str):
    path = make_dicom_picture(tmp_path / "a.dcm", np.zeros((9, 8), np.uint16))
    dataset = pydicom.dcmread(path)
    for tag, value in tags.items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value) if value != "nan" else dataset.add(
                pydicom.DataElement(tag, "DS", "nan", validation_mode=0)
            )
    dataset.save_as(path)
    with pytest.raises(DataError, match=rf"a\.dcm: .*{message}"):
        read_scan(path)


def test_what_is_known_of_grey_values_is_noted(tmp_path: Path):
    path = make_dicom_picture(
        tmp_path / "a.dcm",
        np.arange(72, dtype=np.uint16).reshape(9, 8),
        Modality="CT",
        ImageType=["DERIVED", "SECONDARY"],
        LossyImageCompression="01",
    )
    assert [note.split(" (")[0] for note in read_scan(path).notes] == [
        "is derived from other images",
        "was compressed with losses before",
        "is a CT without RescaleSlope and RescaleIntercept, and may not hold Hounsfield units",
    ]


def test_a_frame_that_ends_early_is_not_filled_with_grey(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    values = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = make_dicom_picture(tmp_path / "a.dcm", values)
    frame = _coded(values, "JPEG")
    _packed(path, frame[: len(frame) // 2] + b"\xff\xd9", JPEGBaseline8Bit)
    with pytest.raises(DataError, match=r"a\.dcm: its pixels cannot be decoded: damaged, cut short"):
        read_scan(path)
    frame = _coded(values, "JPEG2000", no_jp2=True)
    _packed(path, frame[:60] + bytes(200), JPEG2000Lossless)
    with pytest.raises(DataError, match=r"a\.dcm: its pixels cannot be decoded: damaged, cut short"):
        read_scan(path)
    said = capfd.readouterr()
    assert said.out + said.err == ""
