"""Whole volumes through the command line: learned, measured, stored, restored, drawn; and what is refused."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from voxlex.cli import main
from voxlex.data.phantoms.phantom import generate_volume
from voxlex.models import tiling
from voxlex.vocabulary import load

DATA = ["--size", "24", "--data.spacing-mm", "6", "--data.phantom.subjects", "10"]
TINY = ["--recipe", "volumes", *DATA, "--steps", "4", "--model.network.width", "16", "--model.network.stem-width", "8"]
TINY += ["--prior.width", "16", "--prior.layers", "1", "--prior.steps", "3", "--training.prior.batch-size", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes") / "run"
    patches = ["--training.autoencoder.patch-size", "16", "--training.autoencoder.checkpoint-activations"]
    assert main(["train", "phantom", "--out", str(folder), *TINY, *patches, "--debug"]) == 0
    return folder


def test_training_says_what_memory_it_will_take_and_reports(run: Path, tmp_path: Path, capfd) -> None:
    assert main(["train", "phantom", "--out", str(tmp_path / "run"), "--stage", "autoencoder", *TINY]) == 0
    assert "memory: a step of" in capfd.readouterr().err
    page = (run / "report.html").read_text()
    assert "Each 24×24×24 volume is stored as" in page
    assert "bit/voxel" in page
    assert "middle axial, coronal and sagittal slices" in page
    assert "11×11×11 voxels" in page


def test_volumes_are_measured_and_stored(run: Path, tmp_path: Path) -> None:
    figures, codes, decoded = tmp_path / "figures.json", tmp_path / "codes.parquet", tmp_path / "decoded"
    assert main(["evaluate", str(run), "phantom", "--split", "all", "--json", str(figures)]) == 0
    assert all(np.isfinite(value) for value in json.loads(figures.read_text()).values())
    assert main(["encode", str(run), "phantom", "--out", str(codes)]) == 0
    assert main(["decode", str(run), str(codes), "--out", str(decoded)]) == 0
    assert main(["reconstruct", str(run), "phantom", "--out", str(tmp_path / "said")]) == 0
    names = [f"sub-{number:03d}.nii.gz" for number in range(1, 11)]
    for folder in (decoded, tmp_path / "said"):
        assert sorted(path.name for path in folder.glob("*.nii.gz")) == names
    one, other = (nibabel.load(folder / names[3]) for folder in (decoded, tmp_path / "said"))
    assert np.array_equal(np.asanyarray(one.dataobj), np.asanyarray(other.dataobj))


def test_new_volumes_are_nifti_of_the_right_spacing(run: Path, tmp_path: Path) -> None:
    assert main(["sample", str(run), "--count", "2", "--out", str(tmp_path / "new")]) == 0
    image = nibabel.load(tmp_path / "new" / "sample-0001.nii.gz")
    assert image.shape == (24, 24, 24)
    assert image.header.get_zooms() == pytest.approx((6, 6, 6))
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert (tmp_path / "new" / "samples.png").exists()


def test_large_volumes_go_through_in_tiles(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = load(run)
    volume = generate_volume(0, size=40, spacing_mm=6.0)[None]
    whole = vocabulary.encode(volume)
    image = vocabulary.decode(whole)
    monkeypatch.setattr(tiling, "LARGEST_TILE", 36**3)
    assert (vocabulary.encode(volume) == whole).double().mean() > 0.99
    torch.testing.assert_close(vocabulary.decode(whole), image, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.spatial-dims", "2"], "data.spacing_mm: expected none with model.spatial_dims 2"),
        (["--training.autoencoder.patch-size", "10"], "patch_size: expected a multiple of 4"),
        (["--training.autoencoder.patch-size", "8"], "expected at least 16"),
        (["--training.autoencoder.patch-size", "32"], "up to data.size 24"),
        (
            ["--training.prior.variations=1", "--training.prior.augment.degrees=0", "--training.prior.augment.scale=0"],
            "training.prior.variations: expected a setting of training.prior.augment above 0",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: list[str], said: str, tmp_path: Path, capfd) -> None:
    assert main(["train", "phantom", "--out", str(tmp_path / "run"), *TINY, *options]) == 1
    assert said in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["pixelcnn", "transformer"])
def test_autoregressive_priors_draw_volumes_too(kind: str, run: Path, tmp_path: Path, capfd) -> None:
    recipe = tmp_path / "recipe.yaml"
    prior = f"prior: {{kind: {kind}, width: 16, layers: 1}}\n"
    recipe.write_text((run / "config.yaml").read_text().split("prior:")[0] + prior)
    assert main(["train", "phantom", "--out", str(tmp_path / "run"), "--recipe", str(recipe), "--steps", "2"]) == 0
    assert main(["sample", str(tmp_path / "run"), "--count", "1", "--out", str(tmp_path / "new")]) == 0
    assert nibabel.load(tmp_path / "new" / "sample-0000.nii.gz").shape == (24, 24, 24)


def test_a_prepared_data_set_of_volumes(run: Path, tmp_path: Path, capfd) -> None:
    command = ["prepare", "phantom", "--out", str(tmp_path / "heads"), "--phantom.subjects", "3", "--size", "24"]
    assert main([*command, "--spacing-mm", "6"]) == 0
    assert main(["evaluate", str(run), str(tmp_path / "heads"), "--split", "all"]) == 0
    assert main(["prepare", "phantom", "--out", str(tmp_path / "flat"), "--phantom.subjects", "3", "--size", "24"]) == 0
    assert main(["evaluate", str(run), str(tmp_path / "flat"), "--split", "all"]) == 1
    assert "expected images of 24×24×24, got a set prepared at 24×24" in capfd.readouterr().err
