"""The stage that teaches a decoder fine detail, on a small autoencoder that has learned the phantom."""

import copy
import math
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from voxlex import open_source
from voxlex.assembly import build_autoencoder, build_texture
from voxlex.config import Config, StageConfig, TextureStageConfig
from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.errors import Interrupted
from voxlex.images.frame import Frame
from voxlex.models import VQVAE
from voxlex.run_folder import RunFolder
from voxlex.training.budget import Budget
from voxlex.training.loop import Fitted, fit
from voxlex.training.objective import Objective, Step
from voxlex.training.objectives import AutoencoderObjective
from voxlex.training.team import Team
from voxlex.training.texture import LIMITS, TextureObjective
from voxlex.types import Image

pytestmark = pytest.mark.slow

SCHEDULE = TextureStageConfig(validations=8, batch_size=8, spectrum_weight=0.1)
MODEL = replace(Config().model, network=replace(Config().model.network, width=48))


@pytest.fixture(scope="module")
def images() -> PreparedDataset:
    return open_source(PhantomSource(PhantomOptions(subjects=8, slices=8)), Frame(size=48))


@pytest.fixture(scope="module")
def trained(images: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> VQVAE:
    torch.manual_seed(0)
    autoencoder = build_autoencoder(MODEL)
    schedule = replace(Config().training.autoencoder, batch_size=8, validations=1)
    objective = AutoencoderObjective(
        autoencoder=autoencoder, training=images, validation=images, schedule=schedule, loss_weights={"l1": 1.0}
    )
    run(objective, tmp_path_factory.mktemp("autoencoder"), steps=150)
    return autoencoder.eval()


def train(
    objective: Objective[Image], files: RunFolder, *, steps: int, schedule: StageConfig, resume: bool = False
) -> Fitted:
    team, budget = Team(Fabric(accelerator="cpu", devices=1)), Budget(steps=steps)
    return fit(objective, team=team, budget=budget, schedule=schedule, seed=0, files=files, resume=resume)


def run(objective: Objective[Image], folder: Path, *, steps: int) -> None:
    files = RunFolder.create(folder / "run", Config())
    fit(
        objective,
        team=Team(Fabric(accelerator="cpu", devices=1)),
        budget=Budget(steps=steps),
        schedule=SCHEDULE,
        seed=0,
        files=files,
    )


def objective_for(
    autoencoder: VQVAE, images: PreparedDataset, schedule: TextureStageConfig = SCHEDULE
) -> TextureObjective:
    torch.manual_seed(0)
    texture = build_texture(autoencoder)
    return TextureObjective(
        autoencoder=autoencoder,
        texture=texture,
        training=images,
        validation=images,
        schedule=schedule,
        loss_weights={"l1": 1.0},
    )


def figures(objective: TextureObjective) -> Mapping[str, float]:
    return objective.validate(progress=0.0)


@pytest.mark.parametrize("critic_weight", [0.0, 0.2])
def test_detail_comes_nearer_to_that_of_the_images_within_the_limits(
    trained: VQVAE, images: PreparedDataset, tmp_path: Path, critic_weight: float
) -> None:
    weights = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    objective = objective_for(trained, images, replace(SCHEDULE, critic_weight=critic_weight))
    objective.texture.eval()
    before = figures(objective)
    run(objective, tmp_path, steps=96)
    objective.texture.eval()
    after = figures(objective)
    assert after["distance"] < before["distance"]
    assert before["detail_energy"] < after["detail_energy"] < 1 + LIMITS["detail_energy_excess"]
    assert objective.alarm(progress=1.0) is None
    assert after["gauges/lesion_change"] < LIMITS["lesion_change"]  # planted lesions survive both decoders
    for name, tensor in trained.state_dict().items():  # codes and archives stay valid
        assert torch.equal(tensor, weights[name]), name


def test_noise_is_drawn_as_strong_as_that_of_the_images(
    trained: VQVAE, images: PreparedDataset, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(scale=0.05, size=images.images.shape)
    grey = (255 * (images.tensor().numpy() + noise)).round().clip(0, 255).astype(np.uint8)
    noisy = replace(images, images=grey)
    objective = objective_for(trained, noisy, replace(SCHEDULE, spectrum_weight=0.3, learning_rate=0.003))
    run(objective, tmp_path, steps=120)
    x = noisy.tensor()
    with torch.no_grad():
        _, grain = objective.texture.parts(trained.latents((trained.encode(x),)), torch.randn_like(x))
    assert 0.5 < float(grain[images.tensor() > 0.3].std()) / 0.05 < 1.3  # in the head; black has no noise below it


def test_weights_that_do_harm_are_not_kept(trained: VQVAE, images: PreparedDataset, tmp_path: Path) -> None:
    wild = replace(SCHEDULE, learning_rate=0.3, validations=8, warmup=0.0)
    objective = objective_for(trained, images, wild)
    begun = {name: tensor.clone() for name, tensor in objective.texture.state_dict().items()}
    files = RunFolder.create(tmp_path / "run", Config())
    fitted = train(objective, files, steps=40, schedule=wild)
    assert fitted.kept_step == 0
    assert fitted.step < 40  # training has ended before its time
    assert objective.alarm(progress=1.0) is not None
    for name, tensor in objective.texture.state_dict().items():
        assert torch.equal(tensor, begun[name]), name


class Stopped(TextureObjective):
    """Is interrupted at a step."""

    stop_at = 0

    def update(self, fabric: Fabric, batch: Image, *, progress: float) -> Step:
        self.stop_at -= 1
        if self.stop_at == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().update(fabric, batch, progress=progress)


def test_a_resumed_stage_ends_with_the_weights_of_an_uninterrupted_one(
    trained: VQVAE, images: PreparedDataset, tmp_path: Path
) -> None:
    schedule = replace(SCHEDULE, critic_weight=0.1, validations=4)

    def begun(kind: type[TextureObjective]) -> TextureObjective:
        torch.manual_seed(0)
        return kind(
            autoencoder=trained,
            texture=build_texture(trained),
            training=images,
            validation=images,
            schedule=schedule,
            loss_weights={"l1": 1.0},
            validation_images=8,
        )

    whole = begun(TextureObjective)
    train(whole, RunFolder.create(tmp_path / "whole", Config()), steps=12, schedule=schedule)
    files, stopped = RunFolder.create(tmp_path / "parts", Config()), begun(Stopped)
    assert isinstance(stopped, Stopped)
    stopped.stop_at = 7
    with pytest.raises(Interrupted, match="saved"):
        train(stopped, files, steps=12, schedule=schedule)
    resumed = begun(TextureObjective)
    train(resumed, files, steps=12, schedule=schedule, resume=True)
    assert resumed.state() == whole.state()
    for name, tensor in whole.texture.state_dict().items():
        assert torch.equal(resumed.texture.state_dict()[name], tensor), name


def test_images_without_anything_do_not_spoil_the_gauges(trained: VQVAE, images: PreparedDataset) -> None:
    own = copy.deepcopy(trained)
    objective = objective_for(own, images)
    objective.texture.eval()
    objective.held_out = torch.zeros(2, 1, 48, 48)
    for module in (own.decoder, objective.texture.decoder):
        module.register_forward_hook(lambda module, inputs, output: output - 1)  # decodes nothing but black
    assert math.isfinite(figures(objective)["distance"])
    assert 0 < objective.state()["pull"] <= 1
