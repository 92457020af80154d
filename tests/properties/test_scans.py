"""Scans of any shape, type, affine and slope are read as they were written, by us and by others."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from voxlex.scans.grid import StoredGrid
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import VOXEL_TYPES, Scan

SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def affines(draw: st.DrawFn, *, sheared: bool = False) -> np.ndarray:
    """Any order and direction of axes, any spacing, a turn of any angle, and any origin."""
    axes = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    spacing = draw(st.tuples(*[st.floats(0.05, 20)] * 3))
    angle = draw(st.floats(-0.7, 0.7))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ (np.eye(3)[:, list(axes)] * signs) * spacing
    if sheared:
        affine[0, 2] += draw(st.floats(-0.3, 0.3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return affine


@st.composite
def volumes(draw: st.DrawFn, dtypes: tuple[str, ...] = VOXEL_TYPES) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    elements = FLOATS if dtype.kind == "f" else None
    return draw(arrays.arrays(dtype, draw(SHAPES), elements=elements))


def canonical(affine: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and affine in canonical order, as nibabel brings them there."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(values.astype(np.float64), affine))
    return np.asarray(image.dataobj), image.affine


@given(values=volumes(("uint8", "int16", "int32", "uint16", "float32", "int8", "uint32")), affine=affines(sheared=True))
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_of_another_program_is_read_as_nibabel_reads_it(
    suffix: str, values: np.ndarray, affine: np.ndarray, tmp_path: Path
) -> None:
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / f"scan{suffix}")
    scan = read_scan(tmp_path / f"scan{suffix}")
    voxels, place = canonical(nibabel.load(tmp_path / f"scan{suffix}").affine, values)
    assert np.array_equal(scan.voxels, voxels.astype(scan.voxels.dtype))  # float32 where 32 bits do not hold a number
    assert scan.affine is not None
    assert np.allclose(scan.affine, place, atol=1e-3)
    assert np.allclose(scan.spacing_mm, np.linalg.norm(place[:3, :3], axis=0), atol=1e-4)


@given(
    values=volumes(("int16", "uint8")),
    slope=st.floats(1e-3, 1e3),
    intercept=st.floats(-1e3, 1e3),
)
def test_the_slope_of_a_nifti_is_applied_once(
    values: np.ndarray, slope: float, intercept: float, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, tmp_path / "scan.nii")
    raw = bytearray((tmp_path / "scan.nii").read_bytes())
    raw[352:] = values.tobytes(order="F")  # nibabel itself would divide by the slope
    (tmp_path / "scan.nii").write_bytes(raw)
    expected = values.astype(np.float64) * np.float32(slope) + np.float32(intercept)
    assert np.allclose(read_scan(tmp_path / "scan.nii").voxels, expected, rtol=1e-5, atol=1e-3)


@given(values=volumes(("uint8", "int16", "uint16", "int32", "float32")), affine=affines())
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_file_of_itk_is_read_where_it_lies(
    suffix: str, values: np.ndarray, affine: np.ndarray, tmp_path: Path
) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    scan = read_scan(tmp_path / f"scan{suffix}")
    voxels, place = canonical(affine, values)
    assert np.array_equal(scan.voxels, voxels)
    assert scan.affine is not None
    assert np.allclose(scan.affine, place, atol=1e-3)


@given(values=volumes(), affine=affines())
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".npz"])
def test_what_is_read_is_written_back(suffix: str, values: np.ndarray, affine: np.ndarray, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "first.nii")
    first = read_scan(tmp_path / "first.nii")
    write_scan(tmp_path / f"second{suffix}", first)
    second = read_scan(tmp_path / f"second{suffix}")
    assert np.array_equal(first.voxels, second.voxels)
    assert first.affine is not None
    assert second.affine is not None
    assert np.allclose(first.affine, second.affine, atol=1e-3)
    assert np.allclose(first.spacing_mm, second.spacing_mm, rtol=1e-5)


@given(
    pixels=st.sampled_from(["uint8", "uint16"]).flatmap(
        lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(8, 20), st.integers(8, 20)))
    )
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_are_read_and_written_as_they_are(suffix: str, pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / f"first{suffix}")
    first = read_scan(tmp_path / f"first{suffix}")
    assert np.array_equal(first.voxels, pixels)
    write_scan(tmp_path / f"second{suffix}", first)
    second = read_scan(tmp_path / f"second{suffix}")
    assert np.array_equal(second.voxels, pixels)
    assert second.voxels.dtype == pixels.dtype


@given(values=volumes(), affine=affines())
def test_arrays_with_an_affine_are_read_where_they_lie(values: np.ndarray, affine: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", values, affine=affine)
    scan = read_scan(tmp_path / "scan.npz")
    voxels, place = canonical(affine, values)
    assert np.array_equal(scan.voxels, voxels)
    assert scan.affine is not None
    assert np.allclose(scan.affine, place)


@given(values=volumes(), spacing=st.tuples(*[st.floats(0.05, 20)] * 3))
def test_arrays_with_a_spacing_are_read_as_they_are(
    values: np.ndarray, spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    np.save(tmp_path / "scan.npy", values)
    scan = read_scan(tmp_path / "scan.npy", spacing_mm=spacing)
    assert np.array_equal(scan.voxels, values)
    assert scan.spacing_mm == pytest.approx(spacing)


@given(values=volumes(), affine=affines())
def test_the_order_in_the_file_and_the_canonical_order_are_inverse(values: np.ndarray, affine: np.ndarray) -> None:
    stored = StoredGrid(shape=values.shape, affine=affine, dtype=values.dtype)
    scan = Scan.from_file(values, stored)
    back, place = scan.for_file()
    assert np.array_equal(back, values)
    assert np.array_equal(place, affine)
