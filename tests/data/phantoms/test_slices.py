from pathlib import Path

import numpy as np
import pytest
import torch

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.anatomy import Anatomy
from voxlex.data.phantoms.phantom import PhantomSource, generate_subject
from voxlex.images.frame import Frame
from voxlex.scans.read_write import read_scan
from voxlex.tables.manifest import index_source

FEW = PhantomOptions(subjects=4, slices=3)


def test_a_subject_depends_on_its_number_and_the_seed_alone():
    subject = generate_subject(3, size=64, seed=7, options=FEW)
    again = generate_subject(3, size=64, seed=7, options=PhantomOptions(subjects=50, slices=3))
    torch.testing.assert_close(subject, again, rtol=0, atol=0)
    for other in (generate_subject(2, size=64, seed=7, options=FEW), generate_subject(3, size=64, seed=8, options=FEW)):
        assert (subject - other).abs().mean() > 0.02


def test_slices_are_brains_on_black():
    slices = generate_subject(0, size=128)
    assert slices.shape == (12, 1, 128, 128)
    assert slices.min() >= 0
    assert slices.max() <= 1
    border = torch.cat([slices[..., :4, :].flatten(), slices[..., -4:, :].flatten(), slices[..., :4].flatten()])
    assert border.mean() < 0.05
    assert border.std() > 0.001  # a scanner has noise
    filled = (slices > 0.25).float().mean((1, 2, 3))
    assert filled[5:8].min() > 0.2  # the middle of the brain takes a good part of the field of view
    assert filled.min() > 0.03


@pytest.mark.parametrize("size", [32, 64, 256])
def test_every_size_shows_the_same_subject(size: int):
    quiet = PhantomOptions(slices=3, noise=0.0)
    at_128 = generate_subject(1, size=128, options=quiet)
    other = generate_subject(1, size=size, options=quiet)
    reduced = [torch.nn.functional.interpolate(images, size=(16, 16), mode="area") for images in (at_128, other)]
    assert (reduced[0] - reduced[1]).abs().max() < 0.1
    assert (reduced[0] - reduced[1]).abs().mean() < 0.015


def test_brains_differ_in_shape_and_ventricles():
    anatomies = [Anatomy.draw(np.random.default_rng(seed)) for seed in range(30)]
    volumes = [1 / float(torch.linalg.det(anatomy.linear)) for anatomy in anatomies]
    assert max(volumes) / min(volumes) > 1.2
    ventricles = [anatomy.ventricles for anatomy in anatomies]
    assert min(ventricles) < -0.1
    assert max(ventricles) > 0.3


def test_front_is_up_and_the_right_side_is_on_the_left(monkeypatch: pytest.MonkeyPatch):
    """The template is symmetric, so the orientation shows in where the points of the corners come from."""
    seen: list[torch.Tensor] = []
    to_template = Anatomy.to_template

    def noting(anatomy: Anatomy, points_mm: torch.Tensor) -> torch.Tensor:
        seen.append(points_mm)
        return to_template(anatomy, points_mm)

    monkeypatch.setattr(Anatomy, "to_template", noting)
    generate_subject(0, size=16, options=FEW)
    (points,) = seen
    assert points[0, 0, 0, 0] > 50  # x grows to the subject's right: on the left of the picture
    assert points[0, 0, 0, 1] > 50  # y grows to the front: at the top
    assert points[2, 0, 0, 2] > points[0, 0, 0, 2] + 50  # the last slice is the highest


def test_prepared_phantom_splits_by_subject(tmp_path: Path):
    calls: list[tuple[int, int]] = []
    dataset = PhantomSource(FEW).prepare(
        tmp_path / "p", Frame(size=32), progress=lambda done, total: calls.append((done, total))
    )
    assert (len(dataset), dataset.size, dataset.labels) == (12, 32, [])
    assert calls == [(3, 12), (6, 12), (9, 12), (12, 12)]
    assert dataset.manifest.groupby("subject")["split"].nunique().eq(1).all()
    assert set(dataset.manifest["split"]) == {"train", "validation", "test"}
    row = dataset.manifest.iloc[0]
    subject = int(row["subject"].removeprefix("sub-")) - 1
    expected = generate_subject(subject, size=32, options=FEW)[int(row["slice"]) - 1]
    assert (dataset.tensor([0])[0] - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_written_phantom_is_a_folder_of_subjects(tmp_path: Path):
    paths = PhantomSource(FEW).write(tmp_path / "out", Frame(size=32))
    table = index_source(tmp_path / "out").table
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == list(table["path"])
    assert sorted(set(table["subject"])) == ["sub-001", "sub-002", "sub-003", "sub-004"]
    assert list(table["slice"][:3]) == [1, 2, 3]
    expected = generate_subject(0, size=32, options=FEW)[1, 0]
    np.testing.assert_array_equal(read_scan(paths[1]).voxels, (expected * 255).round().numpy())
