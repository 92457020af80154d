"""The vocabularies that come with the package."""

import json
import re
from pathlib import Path

import pytest
import torch

import voxlex
from voxlex import metrics, shipped
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.sources import open_source
from voxlex.errors import RunError
from voxlex.images.frame import Frame
from voxlex.run_folder import RunFolder
from voxlex.vocabulary import Vocabulary

LARGEST = 12e6
"""Bytes of the files of a vocabulary, all together."""


@pytest.fixture(scope="module", params=shipped.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vocabulary(name: str) -> Vocabulary:
    return voxlex.load(name)


def test_there_is_one_of_brain_mr():
    assert "brain-mri-128" in shipped.names()


def test_it_is_small_and_says_where_it_comes_from_and_how_good_it_is(name: str):
    folder = shipped.located(Path(name))
    assert sum(file.stat().st_size for file in folder.iterdir()) <= LARGEST
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert {"data", "commands", "stages", "versions", "made"} <= provenance.keys()
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    for figures in scores.values():
        assert {"reconstruction.ssim", "generation.coverage", "generation.coverage_floor"} <= figures.keys()
    assert "not a medical device" in (folder / "CARD.md").read_text(encoding="utf-8")
    words = " ".join(file.read_text(encoding="utf-8") for file in folder.iterdir() if file.suffix != ".safetensors")
    assert not re.search(r"/(home|root|tmp|work)/", words)


def test_it_reconstructs_heads_that_it_has_not_seen(vocabulary: Vocabulary):
    images = open_source(PhantomSource(PhantomOptions(subjects=4, slices=4)), Frame(size=128)).tensor()
    assert metrics.ssim(vocabulary.reconstruct(images), images).mean() > 0.9


def test_it_draws_images_of_a_class(vocabulary: Vocabulary):
    assert vocabulary.labels
    images = vocabulary.sample(1, condition={"label": vocabulary.labels[:1]}, seed=0)
    assert images.shape == (1, 1, 128, 128)
    assert 0.02 < float(images.mean()) < 0.6
    assert float((images < 0.1).float().mean()) > 0.1  # there is background around the head


def test_a_folder_of_the_same_name_comes_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert RunFolder.open(Path(name)).path == shipped.located(Path(name))
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=r"without config\.yaml"):
        RunFolder.open(Path(name))


def test_a_name_that_is_not_known_is_refused_with_those_that_are(name: str):
    with pytest.raises(RunError, match=rf"no such folder; expected .* the name of a vocabulary .*{name}"):
        voxlex.load("brain-mri-129")


def test_codes_of_half_precision_are_the_same_each_time(vocabulary: Vocabulary):
    images = torch.rand(2, 1, 128, 128)
    assert torch.equal(vocabulary.encode(images), vocabulary.encode(images))
