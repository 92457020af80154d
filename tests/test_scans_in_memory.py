"""A vocabulary takes images of nibabel, SimpleITK and torchio, and gives what its commands give of their files."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
import torchio

import voxlex
from scans.heads import LAS, PSR, head, write_volume
from voxlex.cli import main
from voxlex.errors import DataError
from voxlex.images.restore import restore_grid
from voxlex.models.batches import encode_dataset
from voxlex.scans.held import as_held
from voxlex.workflows.opening import open_for

GOLDEN = Path(__file__).parent / "golden"
AFFINES = {"LAS": LAS, "PSR": PSR @ np.diag([1.5, 1, 2, 1])}


@pytest.fixture(scope="module")
def slices() -> voxlex.Vocabulary:
    return voxlex.load(GOLDEN / "transformer")


@pytest.fixture(scope="module")
def cubes() -> voxlex.Vocabulary:
    return voxlex.load(GOLDEN / "volumes")


def held_images(file: Path) -> dict[str, Any]:
    scalar = torchio.ScalarImage(file)
    return {
        "nibabel": nibabel.load(file),
        "SimpleITK": SimpleITK.ReadImage(file),
        "torchio": scalar,
        "subject": torchio.Subject(t1=scalar, brain=torchio.LabelMap(file)),
        "scan": voxlex.read_scan(file),
    }


def grey_values(image: Any) -> np.ndarray:
    """Return the grey values of an image in the order of a file."""
    if isinstance(image, torchio.Subject):
        image = image["t1"]
    if isinstance(image, voxlex.Scan):
        return image.for_file()[0]
    if isinstance(image, SimpleITK.Image):
        return SimpleITK.GetArrayFromImage(image).T
    return image.data[0].numpy() if isinstance(image, torchio.Image) else image.get_fdata()


@pytest.mark.parametrize("stored", AFFINES)
@pytest.mark.parametrize("run", ["transformer", "volumes"])
def test_codes_and_reconstructions_are_those_of_the_file(
    run: str, stored: str, slices: voxlex.Vocabulary, cubes: voxlex.Vocabulary, tmp_path: Path
) -> None:
    vocabulary, file = {"transformer": slices, "volumes": cubes}[run], tmp_path / "head.nii.gz"
    write_volume(file, head(), AFFINES[stored])
    assert main(["reconstruct", str(GOLDEN / run), str(file), "--out", str(tmp_path / "out")]) == 0
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    expected = nibabel.load(written)
    codes = encode_dataset(vocabulary, open_for(vocabulary.config, str(file), whole=True))
    for library, image in held_images(file).items():
        assert torch.equal(vocabulary.encode(image), codes), library
        back = vocabulary.reconstruct(image)
        assert type(back) is type(image)
        np.testing.assert_array_equal(grey_values(back), expected.get_fdata(), err_msg=library)
    np.testing.assert_array_equal(back.for_file()[1], expected.affine)


def test_a_picture_comes_back_in_its_own_size(slices: voxlex.Vocabulary) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40), dtype=np.uint8)
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing((0.5, 0.5))
    assert slices.encode(image).shape == (1, 1, 8, 8)
    back = slices.reconstruct(image)
    assert (back.GetSize(), back.GetSpacing(), back.GetPixelID()) == (
        image.GetSize(),
        image.GetSpacing(),
        SimpleITK.sitkUInt8,
    )


def test_maps_of_the_images_go_home(slices: voxlex.Vocabulary) -> None:
    image = nibabel.Nifti1Image(head(), PSR)
    fitted = slices.images_of(image)
    marks = [(np.asarray(one) == np.max(fitted.images)).astype(np.float32) for one in fitted.images]
    back = as_held(fitted.origin.place(restore_grid(marks, fitted.origin)), like=image)
    assert back.shape == image.shape
    np.testing.assert_array_equal(back.affine, image.affine)
    assert image.get_fdata()[back.get_fdata() > 0.9].mean() > 800  # where the head has its mark


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (nibabel.Nifti1Image(np.zeros((9, 9, 9, 2), np.int16), np.eye(4)), "expected one volume, got 2"),
        (nibabel.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)), "constant image"),
        (SimpleITK.GetImageFromArray(np.eye(32, dtype=np.uint8)), "expected a volume, got a picture"),
    ],
)
def test_what_a_vocabulary_of_volumes_cannot_take_is_refused(image: Any, says: str, cubes: voxlex.Vocabulary) -> None:
    for verb in (cubes.encode, cubes.reconstruct):
        with pytest.raises(DataError, match=says):
            verb(image)


def test_arrays_are_arrays_as_before(slices: voxlex.Vocabulary) -> None:
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(slices.reconstruct(x), slices.decode(slices.encode(x)))
