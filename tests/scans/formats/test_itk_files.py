from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from scans.volumes import ORIENTATIONS, affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan


def _image(values: np.ndarray, affine: np.ndarray) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / steps).ravel().tolist())
    return image


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_a_marker_stays_where_it_is_in_the_head(tmp_path: Path, orientation: str, suffix: str):
    affine = affine_of(orientation)
    image = _image(marked(affine), affine)
    SimpleITK.WriteImage(image, str(tmp_path / f"in{suffix}"))
    scan = read_scan(tmp_path / f"in{suffix}")
    assert is_marked_left_front_top(scan.voxels)
    for out in (".nrrd", ".mha", ".nii.gz"):
        write_scan(tmp_path / f"out{out}", scan)
        written = SimpleITK.ReadImage(str(tmp_path / f"out{out}"))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), SimpleITK.GetArrayFromImage(image))
        np.testing.assert_allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(written.GetSpacing(), image.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-6)
        assert is_marked_left_front_top(read_scan(tmp_path / f"out{out}").voxels)


def test_nrrd_in_ras_coordinates(tmp_path: Path):
    values = marked(np.eye(4), (3, 4, 5))
    header = [
        "NRRD0004",
        "type: int16",
        "dimension: 3",
        "space: right-anterior-superior",
        "sizes: 3 4 5",
        "space directions: (2,0,0) (0,2,0) (0,0,3)",
        "space origin: (-10,20,30)",
        "endian: little",
        "encoding: raw",
        "patient:=DOE^JANE",
    ]
    (tmp_path / "a.nrrd").write_bytes("\n".join(header).encode() + b"\n\n" + values.tobytes(order="F"))
    scan = read_scan(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(scan.voxels, values)
    np.testing.assert_allclose(scan.affine, [[2, 0, 0, -10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
    write_scan(tmp_path / "b.nrrd", scan)
    assert b"DOE" not in (tmp_path / "b.nrrd").read_bytes()


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_voxels_in_a_file_beside_the_header(tmp_path: Path, suffix: str):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / f"a{suffix}"))
    name = next(path.name for path in tmp_path.iterdir() if path.suffix != suffix)
    header = (tmp_path / f"a{suffix}").read_text()
    written = header.replace(name, f"./{name}").replace("ElementSpacing", "ElementSize")
    assert written != header
    (tmp_path / f"a{suffix}").write_text(written)
    assert np.array_equal(np.sort(read_scan(tmp_path / f"a{suffix}").voxels, axis=None), values.ravel())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_two_axes_are_a_picture(tmp_path: Path, suffix: str):
    values = np.arange(80, dtype=np.uint16).reshape(8, 10)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing([0.5, 0.25])
    SimpleITK.WriteImage(image, str(tmp_path / f"a{suffix}"))
    scan = read_scan(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(scan.voxels, values)
    assert scan.spacing_mm == (0.25, 0.5)
    with pytest.raises(DataError, match="expected a volume, got a picture"):
        write_scan(tmp_path / f"b{suffix}", scan)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_fourth_axis_says_how_to_choose(tmp_path: Path, suffix: str):
    values = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values, isVector=False), str(tmp_path / f"a{suffix}"))
    with pytest.raises(
        DataError, match=r"expected one volume, got 2 \(5×4×3×2\); choose one with volume=0 to volume=1"
    ):
        read_scan(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_scan(tmp_path / f"a{suffix}", volume=1).voxels[::-1, ::-1].T, values[1])


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_vectors_are_refused(tmp_path: Path, suffix: str):
    colours = np.zeros((3, 4, 5, 3), np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(colours, isVector=True), str(tmp_path / f"a{suffix}"))
    with pytest.raises(DataError, match="expected one number for each voxel, got 3"):
        read_scan(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_voxels_that_are_not_finite_are_counted(tmp_path: Path, suffix: str):
    values = np.zeros((3, 4, 5), np.float32)
    values[0, 0, 0] = np.nan
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / f"a{suffix}"))
    with pytest.raises(DataError, match="1 of 60 voxels are not finite numbers"):
        read_scan(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kept", [0, 0.05, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, suffix: str, compressed: bool, kept: float, capfd: object):
    affine = affine_of("LPS")
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(_image(marked(affine, (30, 30, 30)), affine), str(path), useCompression=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=rf"a\{suffix}: .*(damaged|an empty file|got text)"):
        read_scan(path)


def test_a_header_without_its_voxels(tmp_path: Path):
    affine = affine_of("LPS")
    SimpleITK.WriteImage(_image(marked(affine), affine), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match=r"a\.mhd: names 'a\.raw' as the file of its voxels: no such file"):
        read_scan(tmp_path / "a.mhd")
    with pytest.raises(DataError, match=r"b\.mhd: no such file"):
        read_scan(tmp_path / "b.mhd")


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    scan = Scan(voxels=np.zeros((3, 4, 5), np.int16), affine=np.eye(4))
    with pytest.raises(DataError, match=r"file/a\.mha: cannot be written"):
        write_scan(tmp_path / "file" / "a.mha", scan)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
