"""Steps that are replayed from CUDA graphs learn what plain steps learn. Most of this needs a GPU."""

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from voxlex.assembly import build_autoencoder
from voxlex.codes import CodeLayout
from voxlex.config import AutoencoderStageConfig, Config, PriorStageConfig, StageConfig, parse
from voxlex.data.dataset import PreparedDataset
from voxlex.priors import TransformerPrior
from voxlex.training.devices import choose_devices
from voxlex.training.objective import OnePlayer
from voxlex.training.objectives import AutoencoderObjective, CodeBatch, PriorObjective
from voxlex.training.recording import RecordedSteps, recorded
from voxlex.training.team import Team

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")

SMALL = {
    "network": {"width": 16, "stem_width": 8, "encoder_blocks": 1, "decoder_blocks": 1},
    "quantizer": {"num_embeddings": 64, "embedding_dim": 4, "rate_weight": 0.1, "revival_threshold": 0.0},
}


def images(count: int = 64) -> PreparedDataset:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, 32, 32), dtype=np.uint8)
    return PreparedDataset(images=pixels, manifest=pd.DataFrame({"label": [""] * count}), name="noise", fingerprint="")


def autoencoder_objective(schedule: StageConfig | None = None) -> AutoencoderObjective:
    torch.manual_seed(0)
    data = images()
    return AutoencoderObjective(
        autoencoder=build_autoencoder(parse(Config, {"model": SMALL}, where="test").model),
        training=data,
        validation=data,
        schedule=schedule or AutoencoderStageConfig(),
        loss_weights={"l1": 1.0, "ssim": 0.1},
        continuous_share=0.3,
    )


def prior_objective() -> PriorObjective:
    torch.manual_seed(0)
    layout = CodeLayout(num_embeddings=100, grid=(8, 8))
    data = CodeBatch(torch.randint(100, (64, 1, 8, 8)), torch.zeros(64, 0))
    prior = TransformerPrior(layout=layout, width=16, layers=1, heads=2, embedding_dim=8)
    return PriorObjective(prior=prior, training=data, validation=data, schedule=PriorStageConfig())


OBJECTIVES = {
    "autoencoder, Muon": autoencoder_objective,
    "autoencoder, AdamW": lambda: autoencoder_objective(StageConfig()),
    "prior": prior_objective,
}


def losses_of(objective: OnePlayer, fabric: Fabric, *, record: bool, steps: int = 24) -> Tensor:
    """Return the sum of the losses of each step."""
    for player in objective.players.values():
        player.set_up(fabric)
        player.on_devices.train()
    objective.keep_on(fabric.device)
    take = RecordedSteps(objective, Team(fabric)) if record else None
    found = []
    for step in range(steps):
        progress = step / steps
        objective.player.set_rate(0.1 + progress)
        batch = fabric.to_device(objective.load(torch.arange(4 * step, 4 * step + 4) % 64, step=step))
        if take is not None:
            taken = take(batch, progress=progress)
        else:
            taken = objective.update(fabric, batch, progress=progress)
        found.append(sum(float(value.detach()) for value in taken.losses.values()))
    if take is not None:
        assert take.replay is not None
    return torch.tensor(found)


@on_gpu
@pytest.mark.parametrize("name", OBJECTIVES)
def test_replayed_steps_have_the_losses_of_plain_ones(name: str) -> None:
    fabric = choose_devices(accelerator="gpu")
    plain = losses_of(OBJECTIVES[name](), fabric, record=False)
    replayed = losses_of(OBJECTIVES[name](), fabric, record=True)
    assert plain.isfinite().all()
    assert len(plain.unique()) > 20
    torch.testing.assert_close(replayed, plain, rtol=0.02, atol=0.0)


@on_gpu
def test_a_step_without_a_finite_gradient_is_left_out_of_a_replay() -> None:
    fabric, objective = choose_devices(accelerator="gpu"), autoencoder_objective()
    losses_of(objective, fabric, record=True)
    take = RecordedSteps(objective, Team(fabric))
    good = fabric.to_device(objective.load(torch.arange(4), step=0))
    for _ in range(8):
        take(good, progress=0.5)
    before = [parameter.detach().clone() for parameter in objective.result.parameters()]
    take(good * torch.nan, progress=0.5)
    assert objective.player.skipped == 1
    for parameter, was in zip(objective.result.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
    take(good, progress=0.5)
    assert objective.player.skipped_in_a_row == 0


def test_nothing_is_recorded_without_a_gpu() -> None:
    assert recorded(autoencoder_objective(), Team(choose_devices(accelerator="cpu"))) is None


def test_steps_do_the_same_work_until_latents_are_quantized() -> None:
    objective = autoencoder_objective()
    assert objective.work(progress=0.0) == objective.work(progress=0.2)
    assert objective.work(progress=0.2) != objective.work(progress=0.4)
    objective.autoencoder.checkpoint_activations = True
    assert objective.work(progress=0.4) is None
