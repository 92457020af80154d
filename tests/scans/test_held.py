"""Images of nibabel, SimpleITK and torchio in memory: read as their files are, and given back as what they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
import torchio
from nibabel.spatialimages import SpatialImage

import voxlex
from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, LeftOutError
from voxlex.scans.held import as_held, as_scan
from voxlex.scans.read_write import read_scan

from .heads import head
from .volumes import affine_of, is_marked_left_front_top, marked

OPENED: dict[str, Callable[[Path], Any]] = {
    "nibabel": nibabel.load,
    "SimpleITK": SimpleITK.ReadImage,
    "torchio": torchio.ScalarImage,
    "subject": lambda path: torchio.Subject(
        t1=torchio.ScalarImage(path), label=torchio.LabelMap(path), age=torch.tensor(4)
    ),
}
"""How each library opens a file."""


def written(place: Path, affine: np.ndarray, *, dtype: type = np.int16) -> Path:
    values = marked(affine, dtype=dtype)
    if place.name.endswith((".nii.gz", ".mgz")):
        kind = nibabel.MGHImage if place.suffix == ".mgz" else nibabel.Nifti1Image
        nibabel.save(kind(values, affine), place)
        return place
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(place))
    return place


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR", "oblique"])
@pytest.mark.parametrize(
    ("suffix", "library"),
    [
        *((".nii.gz", library) for library in OPENED),
        (".mgz", "nibabel"),
        *((suffix, library) for suffix in (".nrrd", ".mha") for library in ("SimpleITK", "torchio")),
    ],
)
def test_an_image_is_the_scan_of_its_file(tmp_path: Path, suffix: str, library: str, orientation: str) -> None:
    file = written(tmp_path / f"a{suffix}", affine_of(orientation))
    expected, found = read_scan(file), as_scan(OPENED[library](file))
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    assert is_marked_left_front_top(found.voxels)
    assert expected.affine is not None
    # A NIfTI file has its affine in float32, which ITK makes directions of.
    np.testing.assert_allclose(found.affine, expected.affine, rtol=0, atol=0 if library == "nibabel" else 1e-4)
    np.testing.assert_allclose(found.spacing_mm, expected.spacing_mm, rtol=0 if library == "nibabel" else 1e-6)


def test_an_image_that_was_never_a_file_is_the_scan_of_the_file_that_it_would_be(tmp_path: Path) -> None:
    affine = affine_of("PSR")
    image = nibabel.Nifti1Image(marked(affine), affine)
    nibabel.save(image, tmp_path / "a.nii.gz")
    found, expected = as_scan(image), read_scan(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_allclose(found.affine, expected.affine, rtol=1e-6)
    assert found.stored is not None
    assert expected.stored is not None
    assert (found.stored.shape, found.stored.dtype, found.stored.space) == (
        expected.stored.shape,
        expected.stored.dtype,
        expected.stored.space,
    )


def test_slope_intercept_and_units_of_a_nifti_file_count(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(marked(np.eye(4)), np.diag([0.001, 0.001, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    image.header.set_slope_inter(0.25, -3)
    image.to_filename(tmp_path / "a.nii")
    opened = nibabel.load(tmp_path / "a.nii")
    found, expected = as_scan(opened), read_scan(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert found.spacing_mm == pytest.approx((1, 1, 2))
    assert (found.stored.slope, found.stored.intercept) == (0.25, -3)
    np.testing.assert_allclose(as_held(found, like=opened).get_fdata(), opened.get_fdata(), rtol=1e-6)


def test_a_picture_of_itk_is_a_picture(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing((0.5, 0.75))
    scan = as_scan(image)
    np.testing.assert_array_equal(scan.voxels, pixels)
    assert not scan.is_volume
    back = as_held(scan, like=image)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(back), pixels)
    assert back.GetSpacing() == image.GetSpacing()


@pytest.mark.parametrize("orientation", ["RAS", "PSR", "oblique"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_scan_comes_back_as_what_it_was(tmp_path: Path, dtype: type, orientation: str) -> None:
    file = written(tmp_path / "a.nii.gz", affine_of(orientation), dtype=dtype)
    for library, opened in OPENED.items():
        image = opened(file)
        back = as_held(as_scan(image), like=image)
        assert type(back) is type(image)
        if library == "subject":
            assert back["age"] == 4
            assert image["t1"] is not back["t1"]
            image, back = image["t1"], back["t1"]
        if library == "nibabel":
            np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(image.dataobj))
            np.testing.assert_array_equal(back.affine, image.affine)
            assert back.get_data_dtype() == image.get_data_dtype() == dtype
        elif library == "SimpleITK":
            np.testing.assert_array_equal(*(SimpleITK.GetArrayFromImage(one) for one in (back, image)))
            assert back.GetPixelIDValue() == image.GetPixelIDValue()
            for fact in ("GetOrigin", "GetSpacing", "GetDirection"):
                np.testing.assert_allclose(getattr(back, fact)(), getattr(image, fact)(), rtol=1e-6, atol=1e-9)
        else:
            assert torch.equal(back.data, image.data)
            assert back.data.dtype == image.data.dtype
            np.testing.assert_array_equal(back.affine, image.affine)


def test_an_image_is_not_changed_and_a_scan_is_returned_as_it_is() -> None:
    values = marked(np.eye(4)).astype(np.float32)
    before = values.copy()
    image = nibabel.Nifti1Image(values, np.eye(4))
    scan = as_scan(image)
    assert as_scan(scan) is scan
    assert as_held(scan, like=scan) is scan
    np.testing.assert_array_equal(values, before)


def test_nan_around_a_head_is_background_and_comes_back_as_nan() -> None:
    values = np.where(head() > 0, head(), np.nan).astype(np.float32)
    image = nibabel.Nifti1Image(values, np.eye(4))
    scan = as_scan(image)
    assert scan.missing is not None
    np.testing.assert_array_equal(as_held(scan, like=image).get_fdata(), values)
    with pytest.raises(DataError, match="not finite numbers"):
        as_scan(image, ReadingOptions(nan="error"))


def series(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        (nibabel.Nifti1Image(series(4, 5, 6, 3), np.eye(4)), "image.slicer[..., 0]"),
        (SimpleITK.GetImageFromArray(series(3, 6, 5, 4), isVector=False), "image[..., 0]"),
        (torchio.ScalarImage(tensor=series(3, 4, 5, 6)), "image.data[:1]"),
    ],
    ids=["nibabel", "SimpleITK", "torchio"],
)
def test_one_of_several_volumes_must_be_chosen(image: Any, advice: str) -> None:
    with pytest.raises(DataError) as error:
        as_scan(image)
    assert str(error.value).startswith("image: expected one volume, got 3 (4×5×6×3)")
    assert str(error.value).endswith(f"such as {advice}" if "data" not in advice else "affine=image.affine)")
    assert advice in str(error.value)
    one = eval(advice.removesuffix(".data[:1]"), {"image": image}) if "data" not in advice else image.data[:1]
    one = one if "data" not in advice else torchio.ScalarImage(tensor=one, affine=image.affine)
    np.testing.assert_array_equal(as_scan(one).voxels, as_scan(image, ReadingOptions(volume=0)).voxels)
    with pytest.raises(DataError, match="expected volume 0 to 2, got volume 7"):
        as_scan(image, ReadingOptions(volume=7))


def colour() -> Any:
    values = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return nibabel.Nifti1Image(values, np.eye(4))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (colour(), "expected one number for each voxel, got colour"),
        (SimpleITK.Image([4, 4], SimpleITK.sitkVectorUInt8, 3), "expected one number for each voxel, got 3"),
        (nibabel.Nifti1Image(np.ones((4, 4, 4), np.complex64), np.eye(4)), "expected real numbers"),
        (SpatialImage(series(4, 4, 4), np.zeros((4, 4))), "affine: expected a length above 0"),
        (SpatialImage(series(4, 4, 4), None), "expected an affine"),
        (torchio.LabelMap(tensor=series(1, 4, 4, 4)), "expected grey values .* got an image of the type label"),
        (torchio.Subject(label=torchio.LabelMap(tensor=series(1, 4, 4, 4))), "one intensity image, got none"),
        (
            torchio.Subject(
                t1=torchio.ScalarImage(tensor=series(1, 4, 4, 4)), t2=torchio.ScalarImage(tensor=series(1, 4, 4, 4))
            ),
            r'one intensity image, got t1, t2; give one of them, such as subject\["t1"\]',
        ),
    ],
)
def test_what_cannot_be_a_scan_is_refused(image: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"^image: .*{says}"):
        as_scan(image)


def test_other_things_are_not_scans() -> None:
    for value in (np.zeros((4, 4)), torch.zeros(4, 4), "a.nii.gz", None):
        with pytest.raises(TypeError, match="expected an image of nibabel, SimpleITK or torchio"):
            as_scan(value)


def test_a_volume_of_another_plane_than_is_asked_for_is_refused() -> None:
    image = nibabel.Nifti1Image(series(4, 5, 6), np.diag([1, 1, 5, 1]))
    with pytest.raises(LeftOutError, match="acquired in the coronal plane, got one in the axial plane"):
        voxlex.as_scan(image, ReadingOptions(plane="coronal"))
