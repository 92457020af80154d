"""The textured decoder on the command line: trained later, asked for by name, seeded."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.cli import main

SMALL = ["--data.size", "32", "--data.phantom.subjects", "24", "--data.phantom.slices", "4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an autoencoder alone."""
    folder = tmp_path_factory.mktemp("texture") / "run"
    words = ["train", "phantom", "--out", str(folder), "--steps", "8", "--stage", "autoencoder", *SMALL]
    assert main([*words, "--model.network.width", "16"]) == 0
    return folder


def reconstructed(run: Path, out: Path, *words: str) -> np.ndarray:
    scan = sorted((run.parent / "scans").rglob("*.png"))[0]
    assert main(["reconstruct", str(run), str(scan), "--out", str(out), *words]) == 0
    (picture,) = [path for path in out.glob("*.png") if path.name != "reconstructions.png"]
    return np.asarray(Image.open(picture))


def test_the_decoder_is_trained_later_and_draws_seeded_detail(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = run.parent / "scans"
    assert main(["phantom", "--out", str(scans), "--size", "32", "--phantom.subjects", "1"]) == 0
    words = ["reconstruct", str(run), str(scans), "--out", str(tmp_path / "none"), "--decoding", "textured"]
    assert main(words) == 1
    assert "train it with --stage texture" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    faithful = reconstructed(run, tmp_path / "faithful")

    codes_before = (run / "autoencoder.safetensors").read_bytes()
    assert main(["train", "phantom", "--out", str(run), "--steps", "40", "--stage", "texture"]) == 0
    assert (run / "texture.safetensors").exists()
    assert (run / "autoencoder.safetensors").read_bytes() == codes_before
    assert np.array_equal(reconstructed(run, tmp_path / "still"), faithful)
    textured = reconstructed(run, tmp_path / "one", "--decoding", "textured", "--seed", "3")
    again = reconstructed(run, tmp_path / "two", "--decoding", "textured", "--seed", "3")
    assert np.array_equal(textured, again)

    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(run), "phantom", "--samples", "0", "--json", str(figures)]) == 0
    measured = json.loads(figures.read_text())
    assert 0 < measured["texture.ssim"] <= 1
    assert measured["reconstruction.ssim"] - measured["texture.ssim"] < 0.05


def test_a_stage_that_needs_an_autoencoder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "phantom", "--out", str(tmp_path / "run"), "--stage", "texture", "--steps", "1"]) == 1
    assert "train the autoencoder first" in capsys.readouterr().err


def test_an_autoencoder_that_is_trained_further_takes_its_texture_with_it(run: Path) -> None:
    assert main(["train", "phantom", "--out", str(run), "--steps", "80", "--stage", "texture", "--resume"]) == 0
    assert main(["train", "phantom", "--out", str(run), "--steps", "10", "--stage", "autoencoder", "--resume"]) == 0
    assert not (run / "texture.safetensors").exists()
