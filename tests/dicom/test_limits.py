"""Files that claim much more than they hold are refused before memory is taken."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from scans.dicom_files import make_dicom_picture, make_dicom_series
from scans.volumes import affine_of
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan

_CANNOT = "its pixels cannot be decoded: damaged, cut short"


def _file(folder: Path, frame: bytes | None = None, syntax: str = "", **tags: object) -> Path:
    path = make_dicom_picture(folder / "a.dcm", np.zeros((64, 64), np.uint8))
    dataset = pydicom.dcmread(path)
    if frame is not None:
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = syntax
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(path)
    return path


def _coded(kind: str) -> bytearray:
    stream = BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(stream, kind, **({"no_jp2": True} if kind == "JPEG2000" else {}))
    return bytearray(stream.getvalue())


def _claiming(kind: str, side: int) -> bytes:
    frame = _coded(kind)
    if kind == "JPEG":
        struct.pack_into(">HH", frame, frame.find(b"\xff\xc0") + 5, side, side)
    else:
        struct.pack_into(">II", frame, frame.find(b"\xff\x51") + 6, side, side)
    return bytes(frame)


def test_run_lengths_that_cannot_fill_the_picture(tmp_path: Path):
    frame = struct.pack("<16I", 1, 64, *([0] * 14)) + b"\x81\x00" * 40
    path = _file(tmp_path, frame, RLELossless, Rows=60000, Columns=60000)
    with pytest.raises(DataError, match=rf"a\.dcm: {_CANNOT}"):
        read_scan(path)


@pytest.mark.parametrize(("kind", "syntax"), [("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000Lossless)])
def test_a_frame_of_another_size_than_the_header_says(tmp_path: Path, kind: str, syntax: str):
    path = _file(tmp_path, _claiming(kind, 60000), syntax)
    with pytest.raises(DataError, match=r"expected compressed pixels of 64×64×1, .*, got 60000×60000×1"):
        read_scan(path)
    path = _file(tmp_path, _claiming(kind, 60000), syntax, Rows=60000, Columns=60000)
    with pytest.raises(DataError, match=_CANNOT):
        read_scan(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("frames", [2 * 10**3, 10**6, 10**9, 10**11])
def test_more_frames_than_there_are_bytes(tmp_path: Path, frames: int, compressed: bool):
    frame = bytes(_coded("JPEG2000")) if compressed else None
    path = _file(tmp_path, frame, JPEG2000Lossless, NumberOfFrames=frames)
    with pytest.raises(
        DataError, match=rf"a\.dcm: expected {frames} frames, as NumberOfFrames says, got pixels for at"
    ):
        read_scan(path)


@pytest.mark.parametrize("frames", [0, -1])
def test_no_frames(tmp_path: Path, frames: int):
    with pytest.raises(DataError, match=rf"expected at least 1 in NumberOfFrames, got {frames}"):
        read_scan(_file(tmp_path, NumberOfFrames=frames))


def test_a_limit_that_can_be_raised(tmp_path: Path):
    make_dicom_series(tmp_path / "a", np.zeros((64, 64, 10), np.int16), affine_of("LPS"))
    with pytest.raises(
        DataError, match=r"expected at most 1e-05 GB of pixels, got 8\.19e-05 GB; a larger --reading\.max-g"
    ):
        read_scan(tmp_path / "a", max_gigabytes=1e-5)
    assert read_scan(tmp_path / "a", max_gigabytes=1e-4).voxels.shape == (64, 64, 10)


def test_what_is_deflated_is_inflated_up_to_the_pixels(tmp_path: Path):
    path = _file(tmp_path)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(range(64)) * 64
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    content = path.read_bytes()
    length = content.find(b"\x02\x00\x00\x00UL") + 8
    start = length + 4 + struct.unpack_from("<I", content, length)[0]
    inside = zlib.decompress(content[start:], -15)
    more = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(
        content[:start]
        + more.compress(inside)
        + b"".join(more.compress(bytes(1 << 20)) for _ in range(200))
        + more.flush()
    )
    np.testing.assert_array_equal(read_scan(path).voxels[0], np.arange(64))
    private = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 1 << 31)
    more = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(
        content[:start]
        + more.compress(private)
        + b"".join(more.compress(bytes(1 << 20)) for _ in range(80))
        + more.flush()
    )
    with pytest.raises(DataError, match=r"a\.dcm: its header is longer than 64 MB"):
        read_scan(path)


def test_headers_without_end(tmp_path: Path):
    content = _file(tmp_path).read_bytes()
    pixels = content.find(b"\xe0\x7f\x10\x00")
    item = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
    frames = b"\x00\x52\x30\x92SQ\x00\x00" + struct.pack("<I", 8 * 300_000) + item * 300_000
    (tmp_path / "a.dcm").write_bytes(content[:pixels] + frames + content[pixels:])
    with pytest.raises(
        DataError, match=r"expected items for 1 frames in PerFrameFunctionalGroupsSequence, got 2400000"
    ):
        read_scan(tmp_path / "a.dcm")
    nested = (b"\x00\x52\x30\x92SQ\x00\x00\xff\xff\xff\xff" + item[:4] + b"\xff\xff\xff\xff") * 50_000
    (tmp_path / "a.dcm").write_bytes(content[:pixels] + nested + content[pixels:])
    with pytest.raises(DataError, match=r"a\.dcm: is not a DICOM file, or is damaged"):
        read_scan(tmp_path / "a.dcm")
    with (tmp_path / "b.dcm").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(DataError, match=r"b\.dcm: its header holds more elements than any scanner writes"):
        read_scan(tmp_path / "b.dcm")


def test_only_regular_files_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "device.dcm").symlink_to("/dev/zero")
    for name in ("pipe.dcm", "device.dcm"):
        with pytest.raises(DataError, match=rf"{name}: expected a regular file, got a (pipe|device)"):
            read_scan(tmp_path / name)
