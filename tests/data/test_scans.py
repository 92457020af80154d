import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.data.scans import Scan, read_scan, write_scan
from voxlex.errors import DataError

from .conftest import picture


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.float32, 32)])
def test_a_scan_survives_a_file_in_its_own_type(tmp_path: Path, dtype: type, bits: int):
    scan = Scan(voxels=picture().astype(dtype) * dtype(1))
    write_scan(tmp_path / "a.tif", scan)
    read = read_scan(tmp_path / "a.tif")
    assert read.bit_depth == scan.bit_depth == bits
    np.testing.assert_array_equal(read.voxels, scan.voxels)


def test_what_identifies_a_person_does_not_come_through(tmp_path: Path):
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "DOE^JANE 1970-01-01", "MRN 1234567"
    Image.fromarray(picture()).save(tmp_path / "in.jpg", exif=exif, comment=b"DOE^JANE")
    assert b"DOE^JANE" in (tmp_path / "in.jpg").read_bytes()
    write_scan(tmp_path / "out.png", read_scan(tmp_path / "in.jpg"))
    written = (tmp_path / "out.png").read_bytes()
    assert b"DOE" not in written
    assert b"1234567" not in written


def test_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(DataError, match=r"a\.png: cannot be written: No space left on device"):
        write_scan(tmp_path / "a.png", Scan(voxels=picture()))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/a\.png: cannot be written: "):
        write_scan(tmp_path / "file" / "a.png", Scan(voxels=picture()))
