"""New images are judged where there are enough real ones to judge them by."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from voxlex import Vocabulary
from voxlex.cli import main
from voxlex.codes import CodeLayout
from voxlex.config import Config
from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.sources import open_source
from voxlex.images.frame import Frame
from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.priors import Conditions, GatedPixelCNN
from voxlex.quantizers import VectorQuantizer
from voxlex.run_folder import RunFolder
from voxlex.workflows.evaluate import write_figures
from voxlex.workflows.judge import plan_generation
from voxlex.workflows.report import write_run_report

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
    for words in ("How they compare", "Closest to training", "Sliced Wasserstein", "A classifier can tell samples"):
        assert words in page
    assert re.search(r"sub-\d+/slice-\d+\.png · sample \d+ · distance", page)


def test_judging_can_be_left_out(run: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "phantom", "--samples", "0", "--json", str(tmp_path / "f.json")]) == 0
    assert not any(name.startswith("generation.") for name in json.loads((tmp_path / "f.json").read_text()))


def test_too_few_images_to_judge_by_are_said_and_none_is_drawn(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Vocabulary, "sample", lambda *_, **__: pytest.fail("was drawn"))
    assert main(["evaluate", str(run), "phantom", "--samples", "3"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "needs at least 16 new and 32 held-out images, and there were 3 new and 32 held-out images" in said
    assert "not the data set that the run was trained on" not in said
    assert main(["evaluate", str(run), "phantom", "--samples", "-1"]) == 1
    assert "samples: expected at least 0, got -1" in capsys.readouterr().err


def test_a_report_shows_new_images_that_are_too_few_to_judge(tmp_path: Path) -> None:
    few = ["--data.phantom.subjects", "20", "--data.phantom.slices", "4"]
    assert main(["train", "phantom", "--out", str(tmp_path), *TINY, *few]) == 0
    assert "New images were not compared with real ones" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "samples.png").is_file()


def test_other_images_than_those_of_the_run_are_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "phantom", "--out", str(tmp_path / "o"), "--size", "32", "--phantom.subjects", "10"]) == 0
    assert main(["evaluate", str(run), str(tmp_path / "o"), "--samples", "0"]) == 0
    assert "not the data set that the run was trained on (phantom)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("known", "asked"), [(["a", "b"], ["", "", "", "", "a", "a", "b", "b"]), ([], None)], ids=["labelled", "unlabelled"]
)
def test_images_without_a_known_label_ask_for_none(known: list[str], asked: list[str] | None) -> None:
    conditions = Conditions.of(pd.DataFrame({"label": known}), ["label"])
    sizes = {"embedding_dim": 4, "width": 8, "downsampling": 4}
    autoencoder = VQVAE(
        encoder=Encoder(**sizes), quantizer=VectorQuantizer(num_embeddings=8, embedding_dim=4), decoder=Decoder(**sizes)
    )
    layout = CodeLayout(num_embeddings=8, grid=(2, 2))
    prior = GatedPixelCNN(layout=layout, conditions=conditions, width=8, layers=1)
    vocabulary = Vocabulary(autoencoder=autoencoder.eval(), prior=prior.eval(), config=Config(), metadata={})
    manifest = pd.DataFrame({"label": ["a", "b", "", "a", "c"], "split": ["train"] + ["test"] * 4})
    images = PreparedDataset(images=np.zeros((5, 1, 8, 8), np.uint8), manifest=manifest, name="five", fingerprint="")
    assert plan_generation(vocabulary, images, count=8).labels == asked


def test_figures_that_are_not_finite_are_null(tmp_path: Path) -> None:
    write_figures(tmp_path / "f.json", {"reconstruction.psnr_db": math.inf, "n_images": 1})
    assert json.loads((tmp_path / "f.json").read_text()) == {"reconstruction.psnr_db": None, "n_images": 1}


def test_unknown_features_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "phantom", "--features", "radiologist"]) == 1
    assert "radiologist" in capsys.readouterr().err


def test_slices_of_a_volume_are_named_by_their_number(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    dataset = open_source(PhantomSource(PhantomOptions(subjects=40, slices=8)), Frame(size=32), seed=0)
    manifest = dataset.manifest.assign(path="head.nii.gz", slice=range(len(dataset)))
    write_run_report(RunFolder.open(tmp_path / "run"), replace(dataset, manifest=manifest))
    page = (tmp_path / "run" / "report.html").read_text()
    assert re.search(r"head\.nii\.gz slice \d+ · sample \d+ · distance", page)
