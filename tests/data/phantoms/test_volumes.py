"""The phantom in three dimensions: the same people as in slices, in the orientation of cubes, as NIfTI files."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource, generate_subject, generate_volume
from voxlex.images.cube import fit_to_cube
from voxlex.images.frame import Frame

FEW = PhantomOptions(subjects=4, noise=0.0)


def test_a_subject_depends_on_its_number_and_the_seed_alone() -> None:
    volume = generate_volume(3, size=32, spacing_mm=6.0, seed=7)
    assert torch.equal(volume, generate_volume(3, size=32, spacing_mm=6.0, seed=7, options=PhantomOptions(subjects=9)))
    for subject, seed in ((2, 7), (3, 8)):
        assert (volume - generate_volume(subject, size=32, spacing_mm=6.0, seed=seed)).abs().mean() > 0.01


def test_volumes_are_whole_brains_on_black() -> None:
    volume = generate_volume(0, size=32, spacing_mm=6.0)[0]
    assert volume.min() >= 0
    assert volume.max() <= 1
    for axis in range(3):
        assert volume.select(axis, 0).mean() < 0.1
        assert volume.select(axis, 16).mean() > 0.1
    litres = float((volume > 0.25).sum()) * 0.006**3 * 1000
    assert 1.0 < litres < 2.0


def test_a_volume_shows_the_person_of_the_slices() -> None:
    still = PhantomOptions(
        subjects=1, slices=1, lowest_mm=8.0, highest_mm=8.0, field_of_view_mm=192.0, variety=0.0, noise=0.0
    )
    flat = generate_subject(0, size=32, options=still)[0, 0]
    cube = generate_volume(0, size=32, spacing_mm=6.0, options=still)[0]
    difference = [float((plane - flat).abs().mean()) for plane in cube]
    assert min(difference) < 0.1 * flat.mean()
    assert abs(int(np.argmin(difference)) - 15.5) <= 1


def test_prepared_volumes_are_divided_by_subject(tmp_path: Path) -> None:
    dataset = PhantomSource(PhantomOptions(subjects=10)).prepare(tmp_path / "phantom", Frame(size=16, spacing_mm=6.0))
    assert dataset.images.shape == (10, 1, 16, 16, 16)
    assert dict(dataset.manifest["split"].value_counts()) == {"train": 8, "validation": 1, "test": 1}
    assert dataset.options["spacing_mm"] == 6.0
    assert dataset.tensor([0]).mean() > 0.02


def test_files_show_the_same_head_in_millimetres(tmp_path: Path) -> None:
    paths = PhantomSource(FEW).write(tmp_path, Frame(size=32, spacing_mm=6.0))
    assert [path.name for path in paths] == [f"sub-{number:03d}.nii.gz" for number in range(1, 5)]
    image = nibabel.load(paths[1])
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == pytest.approx((6.0, 6.0, 6.0))
    assert image.affine @ [15.5, 15.5, 15.5, 1] == pytest.approx([0, -17, 8, 1])
    volume = np.asanyarray(image.dataobj) / np.float32(255)
    cube = fit_to_cube(volume, image.affine, size=32, spacing_mm=6.0, centre=(15.5, 15.5, 15.5))
    expected = generate_volume(1, size=32, spacing_mm=6.0, options=FEW)[0].numpy()
    assert np.abs(cube - expected).max() <= 0.5 / 255 + 1e-6
