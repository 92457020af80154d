import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scans.dicom_files import COMPRESSIONS, make_dicom_series
from scans.pictures import picture
from scans.volumes import affine_of, marked
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan


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


def test_scans_of_every_kind_are_read_in_threads(tmp_path: Path):
    affine = affine_of("oblique")
    whole = Scan(voxels=marked(np.eye(4)), affine=np.eye(4))
    places = [tmp_path / str(compression) for compression in COMPRESSIONS]
    for place, compression in zip(places, COMPRESSIONS, strict=True):
        make_dicom_series(place, marked(affine), affine, compression=compression)
    for name in ("a.nii.gz", "a.nrrd", "a.mha", "a.npz"):
        write_scan(tmp_path / name, whole)
        places.append(tmp_path / name)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for place, scan in zip(places * 2, pool.map(read_scan, places * 2), strict=True):
            np.testing.assert_array_equal(scan.voxels, read_scan(place).voxels)


def test_a_suffix_that_is_not_known(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no scan")
    with pytest.raises(
        DataError, match=r"notes\.txt: expected a folder of DICOM files, or one of the suffixes \.png, "
    ):
        read_scan(tmp_path / "notes.txt")
    with pytest.raises(DataError, match=r"a\.dcm: expected one of the suffixes \.png, .*\.nii\.gz.*, got '\.dcm'"):
        write_scan(tmp_path / "a.dcm", Scan(voxels=picture()))
    (tmp_path / "loop.nii").symlink_to("loop.nii")
    with pytest.raises(DataError, match=r"loop\.nii: "):
        read_scan(tmp_path / "loop.nii")


def test_the_libraries_of_other_formats_are_not_imported():
    code = """
import sys, voxlex.scans.read_write, voxlex.images.intensity
sys.exit(bool({"nibabel", "SimpleITK", "pydicom", "torch"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
