from pathlib import Path

import numpy as np
import pytest

from scans.volumes import ORIENTATIONS, affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_marker_stays_where_it_is_in_the_head(tmp_path: Path, orientation: str):
    affine = affine_of(orientation)
    np.savez(tmp_path / "in.npz", head=marked(affine), affine=affine)
    scan = read_scan(tmp_path / "in.npz")
    assert is_marked_left_front_top(scan.voxels)
    for out in ("out.npz", "out.nii.gz"):
        write_scan(tmp_path / out, scan)
        again = read_scan(tmp_path / out)
        np.testing.assert_array_equal(again.voxels, scan.voxels)
        np.testing.assert_allclose(again.affine, scan.affine, atol=1e-5)
        np.testing.assert_allclose(again.spacing_mm, scan.spacing_mm, rtol=1e-6)


def test_spacing_in_the_file_or_given(tmp_path: Path):
    values = marked(np.eye(4))
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", values, spacing_mm=[0.5, 0.6, 0.7])
    assert read_scan(tmp_path / "a.npz").spacing_mm == pytest.approx((0.5, 0.6, 0.7))
    scan = read_scan(tmp_path / "a.npy", spacing_mm=(1, 1, 2))
    assert scan.spacing_mm == (1, 1, 2)
    np.testing.assert_array_equal(scan.voxels, values)
    with pytest.raises(DataError, match=r"a\.npy: does not say how far apart its voxels are; give spacing_mm="):
        read_scan(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"spacing_mm: expected three distances above 0, got \(1\.0, 0\.0, 2\.0\)"):
        read_scan(tmp_path / "a.npy", spacing_mm=(1, 0, 2))


def test_a_picture_in_colour_is_told_apart_from_a_volume_of_unknown_spacing(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((16, 18, 3), np.uint8))
    with pytest.raises(DataError, match="if it is a picture in colour, save it as PNG"):
        read_scan(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [bool, np.float16, np.int64, np.uint64, np.float64, np.int8])
def test_types_that_other_formats_do_not_know(tmp_path: Path, dtype: type):
    values = (marked(np.eye(4)) % 2).astype(dtype)
    np.savez(tmp_path / "a.npz", values, spacing_mm=np.ones(3))
    scan = read_scan(tmp_path / "a.npz")
    for name in ("b.nii", "b.mha", "b.nrrd"):
        write_scan(tmp_path / name, scan)
        np.testing.assert_array_equal(read_scan(tmp_path / name).voxels, values.astype(float))


def test_two_axes_are_a_picture(tmp_path: Path):
    values = np.linspace(0, 1, 80).reshape(8, 10)
    np.save(tmp_path / "a.npy", values)
    scan = read_scan(tmp_path / "a.npy")
    assert scan.voxels.dtype == np.float32
    np.testing.assert_array_equal(scan.voxels, values.astype(np.float32))
    write_scan(tmp_path / "b.npz", scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "b.npz").voxels, scan.voxels)


def test_nothing_is_unpickled(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "a.npy", np.array([Trap()]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", head=np.array([Trap()]))
    (tmp_path / "b.npy").write_bytes(__import__("pickle").dumps(Trap()))
    for name in ("a.npy", "a.npz", "b.npy"):
        with pytest.raises(
            DataError, match=f"{name}: does not hold plain arrays of numbers, or is damaged or cut short"
        ):
            read_scan(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, kept: float):
    np.save(tmp_path / "a.npy", marked(np.eye(4)))
    write_scan(tmp_path / "a.npz", Scan(voxels=marked(np.eye(4)), affine=np.eye(4)))
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
        with pytest.raises(DataError, match=rf"{path.name}: .*(is damaged or cut short|an empty file)"):
            read_scan(path, spacing_mm=(1, 1, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": np.zeros((3, 4, 5)), "b": np.zeros((3, 4, 5))},
            "expected one array, besides spacing_mm and affine, got 2",
        ),
        ({"spacing_mm": np.ones(3)}, "expected one array, besides spacing_mm and affine, got 0"),
        ({"a": np.zeros((3, 4, 5, 6))}, r"expected an array of shape \(h, w\) or \(x, y, z\), got \(3, 4, 5, 6\)"),
        ({"a": np.zeros((3, 4, 5)), "affine": np.eye(3)}, r"expected an affine of shape \(4, 4\), got \(3, 3\)"),
        ({"a": np.zeros((3, 4, 5)), "affine": np.zeros((4, 4))}, "expected a length above 0 along each axis"),
        ({"a": np.zeros((3, 4, 5)), "affine": np.full((4, 4), np.nan)}, "expected finite values"),
        ({"a": np.zeros((3, 4, 5)), "affine": np.full((4, 4), "x")}, "does not hold plain arrays of numbers"),
        ({"a": np.zeros((3, 4, 5)), "spacing_mm": np.array(["x"])}, "does not hold plain arrays of numbers"),
        ({"a": np.full((3, 4, 5), np.nan), "spacing_mm": np.ones(3)}, "60 of 60 voxels are not finite"),
        (
            {"a": np.zeros((3, 4, 5), complex), "spacing_mm": np.ones(3)},
            "expected real numbers, got values of type complex128",
        ),
        ({"a": np.zeros((3, 0, 5)), "spacing_mm": np.ones(3)}, "expected at least one voxel"),
    ],
)
def test_arrays_that_are_no_scan(tmp_path: Path, arrays: dict[str, np.ndarray], message: str):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=rf"a\.npz: .*{message}"):
        read_scan(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"b\.npz: no such file"):
        read_scan(tmp_path / "b.npz")
