"""New images are judged where there are enough real ones to judge them by."""

import json
from pathlib import Path

import pytest

from voxlex.cli import main

pytestmark = pytest.mark.slow

TINY = ["--steps", "2", "--size", "32", "--model.network.width", "16", "--prior.width", "16", "--prior.layers", "2"]
PHANTOM = ["--data.phantom.subjects", "40", "--data.phantom.slices", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "phantom", "--out", str(out), *TINY, *PHANTOM]) == 0
    return out


def test_samples_are_judged_beside_real_images(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(run), "phantom", "--samples", "16", "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["generation.n_samples"] == 16
    # Two steps of training: anyone can tell these samples from brains.
    assert figures["generation.swd"] > 2 * figures["generation.swd_floor"]
    assert figures["generation.frechet"] > figures["generation.frechet_floor"]
    assert figures["generation.copies"] == 0
    shown = capsys.readouterr().out
    assert "real images" in shown
    assert "generation.swd" in shown
    assert "_floor" not in shown


def test_the_report_shows_them_and_the_closest_pairs(run: Path) -> None:
    page = (run / "report.html").read_text()
    for words in ("How they compare", "Closest to training", "Sliced Wasserstein", "A classifier tells samples"):
        assert words in page


def test_judging_can_be_left_out(run: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "phantom", "--samples", "0", "--json", str(tmp_path / "f.json")]) == 0
    assert not any(name.startswith("generation.") for name in json.loads((tmp_path / "f.json").read_text()))


def test_unknown_features_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "phantom", "--features", "radiologist"]) == 1
    assert "radiologist" in capsys.readouterr().err
