"""A training that begins with the weights of another run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from voxlex.cli import main
from voxlex.config import Config, beginning_with, load_recipe
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ConfigError, RunError
from voxlex.run_folder import RunFolder
from voxlex.vocabulary import load
from voxlex.workflows.evaluate import evaluate
from voxlex.workflows.train import train

GOLDEN = Path(__file__).parent.parent / "golden"
RUN = RunFolder(GOLDEN / "transformer")
PREPARED = str(GOLDEN / "prepared")  # the images that RUN was trained on

STANDING = 1e-12
"""A learning rate by which weights hardly change."""


def begun_with(run: RunFolder = RUN, *, rate: float = STANDING) -> Config:
    """Return an experiment of one step that begins with the weights of a run."""
    config = beginning_with(load_recipe("default"), str(run.path), run.config())
    training = config.training
    stages = {
        name: replace(getattr(training, name), batch_size=2, optimizer="adamw", learning_rate=rate)
        for name in ("autoencoder", "prior")
    }
    return replace(config, training=replace(training, minutes=None, steps=1, texture_share=0.0, **stages))


def weights(run: RunFolder, stage: str) -> dict[str, torch.Tensor]:
    return load_file(run.path / f"{stage}.safetensors")


def moved(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    """Return the names of weights that differ."""
    assert first.keys() == second.keys()
    return {name for name in first if not torch.allclose(first[name].double(), second[name].double(), atol=1e-6)}


def test_all_weights_begin_as_those_of_the_run(tmp_path: Path) -> None:
    run = train(PREPARED, out=tmp_path / "run", config=begun_with())
    learned = {name for name in weights(RUN, "autoencoder") if "codebook" not in name}  # which keeps running means
    assert not moved(weights(RUN, "autoencoder"), weights(run, "autoencoder")) & learned
    assert not moved(weights(RUN, "prior"), weights(run, "prior"))
    assert run.metadata()["pretrained"] == {"run": RUN.path.name, "data": RUN.metadata()["data"]}
    assert run.config().training.pretrained == str(RUN.path)


def test_training_changes_them(tmp_path: Path) -> None:
    run = train(PREPARED, out=tmp_path / "run", config=begun_with(rate=1e-2))
    for stage in ("autoencoder", "prior"):
        assert len(moved(weights(RUN, stage), weights(run, stage))) > len(weights(RUN, stage)) / 2


def test_a_stage_that_comes_later_begins_with_them_too(tmp_path: Path) -> None:
    train(PREPARED, out=tmp_path / "run", config=begun_with(), stage="autoencoder")
    run = train(PREPARED, out=tmp_path / "run", config=RunFolder(tmp_path / "run").config(), stage="prior")
    assert not moved(weights(RUN, "prior"), weights(run, "prior"))


def test_a_finished_run_goes_on_without_the_other(tmp_path: Path) -> None:
    config = begun_with()
    run = train(PREPARED, out=tmp_path / "run", config=config)
    gone = replace(config.training, pretrained=str(tmp_path / "gone"))
    with pytest.raises(RunError, match=r"gone: no such folder"):
        train(PREPARED, out=tmp_path / "new", config=replace(config, training=gone))
    further = train(PREPARED, out=run.path, config=replace(config, training=replace(gone, steps=2)), resume=True)
    assert further.metadata()["stages"]["prior"]["steps"] == 2


def test_other_conditions_begin_anew_and_the_rest_does_not(tmp_path: Path) -> None:
    config = begun_with()
    config = replace(config, prior=replace(config.prior, condition_columns=("age",)))
    run = train(PREPARED, out=tmp_path / "run", config=config)
    before, after = weights(RUN, "prior"), weights(run, "prior")
    shared = {name for name in before if "conditioning.columns" not in name}
    assert shared == {name for name in after if "conditioning.columns" not in name}
    assert not moved({name: before[name] for name in shared}, {name: after[name] for name in shared})
    assert load(run.path).conditions.names == ["age"]


def test_another_prior_begins_anew_and_training_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--pretrained", str(RUN.path), "--steps", "1", "--training.texture-share", "0", "--prior.kind", "pixelcnn"]
    assert main(["train", PREPARED, *words, "--out", str(tmp_path / "run")]) == 0
    begins = f"begins with the weights of {RUN.path}; the prior begins with random weights, as there is none like it"
    assert begins in capsys.readouterr().err
    assert weights(RunFolder(tmp_path / "run"), "prior").keys() != weights(RUN, "prior").keys()


def test_another_autoencoder_is_refused(tmp_path: Path) -> None:
    config = begun_with()
    config = replace(config, model=replace(config.model, network=replace(config.model.network, width=16)))
    with pytest.raises(ConfigError) as refused:
        train(PREPARED, out=tmp_path / "run", config=config)
    assert str(refused.value) == (
        f"model.network.width: expected 8, as in {RUN.path}, whose weights training begins with, got 16; leave this "
        "setting out, or --pretrained"
    )
    assert not (tmp_path / "run").exists()


def test_a_report_tells_when_held_out_images_may_have_been_seen(tmp_path: Path) -> None:
    words = ["--pretrained", str(RUN.path), "--steps", "1", "--training.texture-share", "0"]
    assert main(["train", PREPARED, *words, "--out", str(tmp_path / "run")]) == 0
    vocabulary, images = load(tmp_path / "run"), PreparedDataset.open(PREPARED)
    assert vocabulary.config.model == RUN.config().model
    other = replace(images, fingerprint="0")
    warned = [
        [word for word in evaluate(vocabulary, data, samples=0).warnings if "began with the weights" in word]
        for data in (images, other)
    ]
    assert (len(warned[0]), len(warned[1])) == (0, 1)
