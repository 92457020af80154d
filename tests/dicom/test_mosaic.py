"""Mosaics of Siemens, against nibabel's reading of the same files."""

import gzip
import struct
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from scans.dicom_files import make_dicom_series
from scans.volumes import affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan

with warnings.catch_warnings():  # nibabel says that it may change
    warnings.simplefilter("ignore")
    from nibabel.nicom.dicomwrappers import wrapper_from_file

_SAMPLES = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"

_VR = {"AcquisitionMatrixText": b"SH\0\0", "NumberOfImagesInMosaic": b"IS\0\0"}


def _csa(entries: dict[str, list[str]]) -> bytes:
    """Write the private header of Siemens in its newer form."""
    content = b"SV10\x04\x03\x02\x01" + struct.pack("<II", len(entries), 77)
    for name, items in entries.items():
        content += struct.pack(
            "<64si4siii",
            name.encode(),
            len(items),
            _VR.get(name, b"FD\0\0"),
            4,
            max(6, len(items)),
            77,
        )
        for index in range(max(6, len(items))):
            text = items[index].encode() + b"\0" if index < len(items) else b""
            content += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)
    return content


def _mosaic(folder: Path, values: np.ndarray, affine: np.ndarray, *, csa: bytes | None = None) -> Path:
    """Write a volume `(columns, rows, slices)` as one picture of tiles, as scanners do."""
    columns, rows, count = values.shape
    side = int(np.ceil(np.sqrt(count)))
    tiles = np.zeros((side * rows, side * columns), values.dtype)
    for index in range(count):
        row, column = divmod(index, side)
        tiles[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = values[..., index].T
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    normal = lps[:3, 2] / steps[2]
    shift = lps[:3, 0] * columns * (side - 1) / 2 + lps[:3, 1] * rows * (side - 1) / 2
    (path,) = make_dicom_series(
        folder,
        tiles.T[..., None],
        affine,
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        ImagePositionPatient=[f"{value:.10g}" for value in lps[:3, 3] - shift],
        SpacingBetweenSlices=f"{steps[2]:.10g}",
    )
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    entries = {"AcquisitionMatrixText": ["16p*12"], "NumberOfImagesInMosaic": [str(count)]}
    entries["SliceNormalVector"] = [f"{value:.8f}" for value in normal]
    block.add_new(0x10, "OB", _csa(entries) if csa is None else csa)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("orientation", ["LPS", "IRP", "RAS", "oblique"])
def test_a_mosaic_is_the_volume_that_nibabel_reads(tmp_path: Path, orientation: str):
    affine = affine_of(orientation)
    path = _mosaic(tmp_path, marked(affine, (12, 16, 11)), affine)
    scan = read_scan(path)
    assert scan.voxels.size == 12 * 16 * 11
    assert is_marked_left_front_top(scan.voxels)
    theirs = wrapper_from_file(path)
    expected = nibabel.as_closest_canonical(
        nibabel.Nifti1Image(theirs.get_data().astype(np.int16), np.diag([-1, -1, 1, 1]) @ theirs.affine)
    )
    np.testing.assert_array_equal(scan.voxels, np.asarray(expected.dataobj))
    np.testing.assert_allclose(scan.affine, expected.affine, atol=1e-4)
    np.testing.assert_allclose(
        scan.affine,
        nibabel.as_closest_canonical(nibabel.Nifti1Image(marked(affine, (12, 16, 11)), affine)).affine,
        atol=1e-4,
    )


@pytest.mark.parametrize("name", ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"])
def test_mosaics_of_a_scanner(tmp_path: Path, name: str):
    path = tmp_path / "a.dcm"
    path.write_bytes(gzip.decompress((_SAMPLES / name).read_bytes()))
    scan, theirs = read_scan(path), wrapper_from_file(path)
    expected = nibabel.as_closest_canonical(
        nibabel.Nifti1Image(theirs.get_data().astype(np.int16), np.diag([-1, -1, 1, 1]) @ theirs.affine)
    )
    assert scan.voxels.shape == (128, 128, 48)
    np.testing.assert_array_equal(scan.voxels, np.asarray(expected.dataobj))
    np.testing.assert_allclose(scan.affine, expected.affine, atol=1e-3)


@pytest.mark.parametrize("csa", [b"", b"SV10", b"SV10\x04\x03\x02\x01\xff\xff\xff\xff" + bytes(90), bytes(200)])
def test_a_mosaic_that_does_not_say_how_is_refused(tmp_path: Path, csa: bytes):
    affine = affine_of("LPS")
    path = _mosaic(tmp_path, marked(affine), affine, csa=csa)
    with pytest.raises(
        DataError, match=r"Siemens mosaic .* does not hold NumberOfImagesInMosaic and SliceNormalVector"
    ):
        read_scan(path)


@pytest.mark.parametrize("count", ["0", "-4", "7", "100", "1e9"])
def test_a_mosaic_of_a_number_of_slices_that_does_not_fit(tmp_path: Path, count: str):
    affine = affine_of("LPS")
    csa = _csa({"NumberOfImagesInMosaic": [count], "SliceNormalVector": ["0", "0", "1"]})
    path = _mosaic(tmp_path, marked(affine, (5, 7, 16)), affine, csa=csa)
    with pytest.raises(DataError, match=r"Siemens mosaic .* slices do not fit 28×20 pixels"):
        read_scan(path)
