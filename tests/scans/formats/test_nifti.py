import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from scans.volumes import ORIENTATIONS, affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan

NIBABEL_FILES = Path(nibabel.__file__).parent / "tests" / "data"


def _save(path: Path, values: np.ndarray, affine: np.ndarray | None = None, **header: object) -> Path:
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine, dtype=values.dtype)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def _noise(*shape: int, dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def in_parts(content: bytes) -> bytes:
    """As bgzip does: parts after one another, the last of them empty."""
    return b"".join(gzip.compress(content[start : start + 5000]) for start in range(0, len(content) + 5000, 5000))


def with_zeros_behind(content: bytes) -> bytes:
    """As tapes do."""
    return gzip.compress(content) + bytes(512)


def with_more_behind(content: bytes) -> bytes:
    """More than the header speaks of."""
    return gzip.compress(content + bytes(100))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_marker_stays_where_it_is_in_the_head(tmp_path: Path, orientation: str, suffix: str):
    affine = affine_of(orientation)
    values = marked(affine)
    scan = read_scan(_save(tmp_path / f"in{suffix}", values, affine))
    assert is_marked_left_front_top(scan.voxels)
    write_scan(tmp_path / f"out{suffix}", scan)
    written = nibabel.load(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(np.asarray(written.dataobj), values)
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / f"in{suffix}").affine)
    assert is_marked_left_front_top(read_scan(tmp_path / f"out{suffix}").voxels)
    # Without the stored grid the volume is written in canonical order, at the same place.
    write_scan(tmp_path / "canonical.nii", Scan(voxels=scan.voxels, spacing_mm=scan.spacing_mm, affine=scan.affine))
    assert is_marked_left_front_top(read_scan(tmp_path / "canonical.nii").voxels)
    if orientation != "oblique":
        assert nibabel.aff2axcodes(nibabel.load(tmp_path / "canonical.nii").affine) == ("R", "A", "S")


@pytest.mark.parametrize(("claimed", "meant"), [(0.0, 1.0), (np.nan, 1.0), (3.0, 1.0), (-1.0, -1.0), (-0.5, -1.0)])
def test_a_handedness_that_is_not_said_is_the_usual_one(tmp_path: Path, claimed: float, meant: float):
    affine = affine_of("LPS")
    path = _save(tmp_path / "a.nii", marked(affine), affine, sform_code=0, qform_code=1)
    content = bytearray(path.read_bytes())
    found = []
    for qfac in (claimed, meant):
        content[76:80] = np.array([qfac], "<f4").tobytes()  # pixdim[0]
        path.write_bytes(content)
        found.append(read_scan(path).affine)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_simpleitk_sees_each_voxel_at_the_same_place(tmp_path: Path, orientation: str):
    affine = affine_of(orientation)
    path = _save(tmp_path / "a.nii", marked(affine), affine)
    scan, image = read_scan(path), SimpleITK.ReadImage(str(path))
    rng = np.random.default_rng(0)
    for index in rng.integers(0, scan.voxels.shape, (20, 3)):
        ras = scan.affine @ [*index, 1]
        there = image.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
        assert image[there] == scan.voxels[tuple(index)]


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("anatomical.nii", None),
        ("example4d.nii.gz", 1),
        ("example_nifti2.nii.gz", 0),
        ("functional.nii", 19),
        ("reoriented_anat_moved.nii", None),
        ("standard.nii.gz", None),
    ],
)
def test_files_of_nibabel_come_back_as_they_were(tmp_path: Path, name: str, volume: int | None):
    original = nibabel.load(NIBABEL_FILES / name)
    scan = read_scan(NIBABEL_FILES / name, volume=volume)
    write_scan(tmp_path / "out.nii.gz", scan)
    written = nibabel.load(tmp_path / "out.nii.gz")
    values = original.get_fdata() if volume is None else original.get_fdata()[..., volume]
    np.testing.assert_array_equal(written.get_fdata(), values)
    np.testing.assert_array_equal(written.affine, original.affine)
    assert written.shape == original.shape[:3]
    assert written.get_data_dtype() == original.get_data_dtype().newbyteorder("=")
    assert written.header["sform_code"] == original.header["sform_code"]
    canonical = nibabel.as_closest_canonical(original)
    np.testing.assert_allclose(scan.affine, canonical.affine, atol=1e-6)
    np.testing.assert_allclose(scan.spacing_mm, canonical.header.get_zooms()[:3], rtol=1e-6)


def test_the_template_of_nilearn_comes_back_as_it_was(tmp_path: Path):
    package = importlib.util.find_spec("nilearn")  # importing it takes seconds
    assert package is not None
    folder = Path(str(package.origin)).parent / "datasets" / "data"
    path = next(folder.glob("mni_icbm152_t1*converted.nii.gz"))
    scan = read_scan(path)
    write_scan(tmp_path / "out.nii.gz", scan)
    original, written = nibabel.load(path), nibabel.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(written.affine, original.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(original.dataobj))
    seen = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    np.testing.assert_array_equal(scan.voxels[::-1, ::-1].T, SimpleITK.GetArrayFromImage(seen))
    np.testing.assert_allclose(scan.spacing_mm, seen.GetSpacing(), rtol=1e-6)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.uint8, "uint8"),
        (np.int8, "int16"),
        (np.uint16, "uint16"),
        (">i2", "int16"),
        (np.int32, "int32"),
        (np.uint32, "int32"),
        (np.float32, "float32"),
        (">f8", "float32"),
    ],
)
def test_every_type_of_number_comes_back_in_its_type(tmp_path: Path, stored: type, expected: str):
    values = _noise(9, 8, 7).astype(stored) // 2
    scan = read_scan(_save(tmp_path / "in.nii", values))
    assert scan.voxels.dtype == expected
    np.testing.assert_array_equal(scan.voxels, values)
    write_scan(tmp_path / "out.nii", scan)
    written = nibabel.load(tmp_path / "out.nii")
    np.testing.assert_array_equal(np.asarray(written.dataobj), values)
    assert written.get_data_dtype() == np.dtype(stored).newbyteorder("=")


@pytest.mark.parametrize(("sform", "qform"), [(0, 0), (0, 1), (4, 1), (2, 0)])
def test_a_place_in_space_that_is_kept_in_several_ways(tmp_path: Path, sform: int, qform: int):
    affine = affine_of("oblique")
    image = nibabel.Nifti1Image(marked(affine), affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    image.to_filename(tmp_path / "in.nii")
    write_scan(tmp_path / "out.nii", read_scan(tmp_path / "in.nii"))
    original, written = nibabel.load(tmp_path / "in.nii"), nibabel.load(tmp_path / "out.nii")
    np.testing.assert_allclose(written.affine, original.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(written.dataobj), marked(affine))
    assert written.header["sform_code"] == (sform or qform)


def test_slope_and_intercept_are_applied_and_written_back(tmp_path: Path):
    path = _save(tmp_path / "in.nii", _noise(9, 8, 7))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -1024.0], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(content)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.voxels, _noise(9, 8, 7) * np.float32(0.5) - 1024)
    write_scan(tmp_path / "out.nii", scan)
    written = nibabel.load(tmp_path / "out.nii")
    assert written.get_data_dtype() == np.int16
    assert (written.dataobj.slope, written.dataobj.inter) == (0.5, -1024.0)
    np.testing.assert_array_equal(written.get_fdata(), scan.voxels)


def test_other_values_than_the_file_could_hold_are_written_exactly(tmp_path: Path):
    scan = read_scan(_save(tmp_path / "in.nii", _noise(9, 8, 7, dtype=np.uint8)))
    halves = Scan(voxels=scan.voxels.astype(np.float32) / 2, affine=scan.affine, stored=scan.stored)
    write_scan(tmp_path / "out.nii", halves)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "out.nii").get_fdata(), _noise(9, 8, 7) / 2)


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 7, 1), (9, 8, 7, 1, 1)])
def test_axes_of_length_one_come_back(tmp_path: Path, shape: tuple[int, ...]):
    scan = read_scan(_save(tmp_path / "in.nii", _noise(*shape)))
    assert scan.voxels.shape == (*shape, 1)[:3]
    write_scan(tmp_path / "out.nii", scan)
    assert nibabel.load(tmp_path / "out.nii").shape == nibabel.load(tmp_path / "in.nii").shape


def test_metres_and_micrometres_become_millimetres(tmp_path: Path):
    values = _noise(9, 8, 7)
    micron = read_scan(_save(tmp_path / "a.nii", values, np.diag([50.0, 50.0, 100.0, 1.0]), xyzt_units=3))
    metre = read_scan(_save(tmp_path / "b.nii", values, np.diag([0.002, 0.002, 0.003, 1.0]), xyzt_units=1))
    np.testing.assert_allclose(micron.spacing_mm, (0.05, 0.05, 0.1))
    np.testing.assert_allclose(metre.spacing_mm, (2, 2, 3))


def test_a_fourth_axis_says_how_to_choose(tmp_path: Path):
    path = _save(tmp_path / "a.nii", _noise(9, 8, 7, 5))
    with pytest.raises(
        DataError,
        match=r"a\.nii: expected one volume, got 5 \(9×8×7×5\); choose one with volume=0 to volume=4, or --volume",
    ):
        read_scan(path)
    np.testing.assert_array_equal(read_scan(path, volume=3).voxels, _noise(9, 8, 7, 5)[..., 3])
    with pytest.raises(DataError, match=r"expected volume 0 to 4, got volume 5"):
        read_scan(path, volume=5)
    with pytest.raises(DataError, match=r"expected volume 0 alone, got volume 1"):
        read_scan(_save(tmp_path / "b.nii", _noise(9, 8, 7)), volume=1)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([0.0, 0.0, 0.0, 1.0]), "expected a length above 0 along each axis"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "expected a length above 0 along each axis"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "expected finite values"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_an_affine_that_spans_no_space(tmp_path: Path, affine: np.ndarray, message: str):
    path = _save(tmp_path / "a.nii", _noise(9, 8, 7))
    content = bytearray(path.read_bytes())
    content[280:328] = affine[:3].astype("<f4").tobytes()  # srow_x, srow_y, srow_z
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.nii: affine: .*{message}"):
        read_scan(path)


def test_voxels_that_are_not_finite_are_counted(tmp_path: Path):
    values = _noise(9, 8, 7, dtype=np.float32)
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError, match=r"a\.nii: 3 of 504 voxels are not finite numbers"):
        read_scan(_save(tmp_path / "a.nii", values))


@pytest.mark.parametrize("kept", [0, 20, 300, 0.5, 0.99])
def test_a_file_cut_short(tmp_path: Path, kept: float):
    for suffix in (".nii.gz", ".nii"):
        path = _save(tmp_path / f"a{suffix}", _noise(19, 18, 17))
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
        with pytest.raises(DataError, match=r"a\.nii(\.gz)?: .*(damaged or cut short|an empty file)"):
            read_scan(path)


def test_a_damaged_byte_in_a_compressed_file(tmp_path: Path):
    path = _save(tmp_path / "a.nii.gz", _noise(19, 18, 17))
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF  # part of the length at the end
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.nii\.gz: .*damaged"):
        read_scan(path)


@pytest.mark.parametrize("slope", [1.0, 2.0])
@pytest.mark.parametrize("compress", [gzip.compress, in_parts, with_zeros_behind, with_more_behind])
def test_compressed_in_whatever_way(tmp_path: Path, compress: Callable[[bytes], bytes], slope: float):
    image = nibabel.Nifti1Image(_noise(19, 18, 17), np.eye(4))
    image.header.set_slope_inter(slope, 0)
    content = image.to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(compress(content))
    voxels = read_scan(tmp_path / "a.nii.gz").voxels
    np.testing.assert_array_equal(voxels, nibabel.Nifti1Image.from_bytes(content).get_fdata())
    assert voxels.flags.writeable


def test_what_is_no_volume(tmp_path: Path):
    (tmp_path / "a.nii").write_text("no image")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"no image"))
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(DataError, match=rf"{name}: expected a NIfTI file, got text"):
            read_scan(tmp_path / name)
    with pytest.raises(DataError, match=r"c\.nii: no such file"):
        read_scan(tmp_path / "c.nii")
    with pytest.raises(DataError, match="expected a volume, got something else stored as NIfTI"):
        read_scan(NIBABEL_FILES / "row_major.dconn.nii")
    colour = np.zeros((9, 8, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(
        DataError, match=r"expected one number for each voxel, got colour \(RGB24\); convert it to grey first"
    ):
        read_scan(_save(tmp_path / "d.nii", colour))


def test_what_the_header_says_of_a_person_stays_behind(tmp_path: Path):
    image = nibabel.Nifti1Image(_noise(9, 8, 7), np.eye(4))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = b"DOE^JANE", b"MRN1234567", b"DOE"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"DOE^JANE born 19700101"))
    image.to_filename(tmp_path / "in.nii")
    assert b"19700101" in (tmp_path / "in.nii").read_bytes()
    scan = read_scan(tmp_path / "in.nii")
    write_scan(tmp_path / "out.nii", scan)
    for secret in (b"DOE", b"1234567", b"19700101"):
        assert secret not in (tmp_path / "out.nii").read_bytes()
        assert secret.decode() not in repr(scan)


def test_a_picture_is_not_written_as_a_volume(tmp_path: Path):
    with pytest.raises(
        DataError,
        match=r"a\.nii: expected a volume, got a picture; write it as PNG or TIFF",
    ):
        write_scan(tmp_path / "a.nii", Scan(voxels=np.zeros((9, 8), np.uint8)))
    assert list(tmp_path.iterdir()) == []


def test_voxels_that_do_not_fit_the_grid_of_the_file(tmp_path: Path):
    scan = read_scan(_save(tmp_path / "in.nii", _noise(9, 8, 7)))
    cut = Scan(voxels=scan.voxels[1:], affine=scan.affine, stored=scan.stored)
    with pytest.raises(DataError, match=r"expected voxels with the file's shape \(9, 8, 7\), got \(8, 8, 7\)"):
        write_scan(tmp_path / "out.nii", cut)


@pytest.mark.parametrize(("code", "orientation"), [(0, "LAS"), (1, "LSA"), (2, "ASL")])
def test_analyze_files_lie_as_their_code_of_orientation_says(tmp_path: Path, code: int, orientation: str):
    values = marked(affine_of(orientation))
    image = nibabel.AnalyzeImage(values[..., None].astype(">i2"), None)
    image.header["pixdim"][1:4] = 0.8, 1.0, 1.5
    image.header["orient"], image.header["descrip"] = chr(code), b"DOE^JANE"
    image.to_filename(tmp_path / "a.img")
    scan = read_scan(tmp_path / "a.hdr")
    assert is_marked_left_front_top(scan.voxels)
    assert sorted(scan.spacing_mm) == pytest.approx([0.8, 1.0, 1.5])
    write_scan(tmp_path / "b.nii.gz", scan)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii.gz").get_fdata()[..., 0], values)
    assert is_marked_left_front_top(read_scan(tmp_path / "b.nii.gz").voxels)


def test_analyze_files_of_another_orientation_or_without_voxels(tmp_path: Path):
    image = nibabel.AnalyzeImage(_noise(9, 8, 7), None)
    image.header["orient"] = chr(5)
    image.to_filename(tmp_path / "a.img")
    with pytest.raises(
        DataError, match=r"a\.hdr: expected an Analyze orientation from 0 to 2, got 5; convert the file to NIfTI"
    ):
        read_scan(tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(DataError, match=r"a\.hdr: its \.img file is missing"):
        read_scan(tmp_path / "a.hdr")


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
def test_files_of_freesurfer(tmp_path: Path, suffix: str):
    affine = affine_of("oblique")
    image = nibabel.MGHImage(marked(affine), affine)
    image.to_filename(tmp_path / f"a{suffix}")
    scan = read_scan(tmp_path / f"a{suffix}")
    assert is_marked_left_front_top(scan.voxels)
    np.testing.assert_allclose(scan.affine, nibabel.as_closest_canonical(image).affine, atol=1e-4)
    write_scan(tmp_path / "b.nii.gz", scan)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii.gz").get_fdata(), marked(affine))
    (tmp_path / f"a{suffix}").write_bytes((tmp_path / f"a{suffix}").read_bytes()[:-900])
    with pytest.raises(DataError, match=rf"a\{suffix}: .*(damaged or cut short|an empty file)"):
        read_scan(tmp_path / f"a{suffix}")
