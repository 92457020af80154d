"""What several processes compute together, beside what one of them computes alone.

`work` leaves `shared-RANK.pt`, with figures, weights and sizes by name.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from voxlex.assembly import build_texture
from voxlex.codes import CodeLayout, from_levels
from voxlex.config import AutoencoderStageConfig, PriorStageConfig, StageConfig, TextureStageConfig
from voxlex.data.dataset import PreparedDataset
from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.priors import Conditions, GatedPixelCNN, HierarchicalPrior, MaskedPrior, Prior, TransformerPrior
from voxlex.quantizers import VectorQuantizer
from voxlex.run_folder import RunFolder
from voxlex.training.augmentation import Augmentation
from voxlex.training.budget import Budget
from voxlex.training.journal import read_journal
from voxlex.training.loop import fit
from voxlex.training.objective import Objective
from voxlex.training.objectives import AutoencoderObjective, CodeBatch, PriorObjective
from voxlex.training.player import Player
from voxlex.training.sharding import whole
from voxlex.training.team import Team
from voxlex.training.texture import TextureObjective
from voxlex.workflows.prior_data import prior_data

STEPS = 4
OPTIMIZERS: tuple[Literal["muon", "adamw"], ...] = ("muon", "adamw")
PRIORS = ("pixelcnn", "transformer", "masked", "two levels")


def images(count: int) -> PreparedDataset:
    pixels = np.random.default_rng(count).integers(0, 255, (count, 1, 16, 16), dtype=np.uint8)
    manifest = pd.DataFrame({"path": range(count)})
    return PreparedDataset(images=pixels, manifest=manifest, name="noise", fingerprint="")


def autoencoder() -> VQVAE:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"embedding_dim": 4, "width": 8, "blocks": 1}
    quantizer = VectorQuantizer(num_embeddings=8, embedding_dim=4)
    model = VQVAE(encoder=Encoder(**settings), quantizer=quantizer, decoder=Decoder(**settings))
    model(torch.rand(8, 1, 16, 16))  # the codebook starts
    return model


def autoencoder_objective(schedule: AutoencoderStageConfig) -> AutoencoderObjective:
    return AutoencoderObjective(
        autoencoder=autoencoder(),
        training=images(64),
        validation=images(7),
        schedule=schedule,
        loss_weights={"l1": 1.0},
    )


def texture_objective(schedule: TextureStageConfig) -> TextureObjective:
    model = autoencoder().eval()
    return TextureObjective(
        autoencoder=model,
        texture=build_texture(model),
        training=images(64),
        validation=images(7),
        schedule=schedule,
        loss_weights={"l1": 1.0},
    )


def prior_objective(schedule: PriorStageConfig) -> PriorObjective:
    torch.manual_seed(0)
    prior = TransformerPrior(
        layout=CodeLayout(num_embeddings=5, grid=(3, 4)), width=8, layers=2, heads=2, kernel_size=3, embedding_dim=4
    )

    def codes(count: int) -> CodeBatch:
        generator = torch.Generator().manual_seed(count)
        return CodeBatch(torch.randint(5, (count, 1, 3, 4), generator=generator), torch.zeros(count, 0))

    return PriorObjective(prior=prior, training=codes(64), validation=codes(70), schedule=schedule)


OBJECTIVES: dict[str, Callable[[Any], Objective[Any]]] = {
    "autoencoder": autoencoder_objective,
    "texture": texture_objective,
    "prior": prior_objective,
}
SCHEDULES: dict[str, StageConfig] = {
    "autoencoder": AutoencoderStageConfig(batch_size=4, continuous_share=0.0, validations=1),
    "texture": TextureStageConfig(batch_size=4, validations=1),
    "prior": PriorStageConfig(batch_size=4, validations=1),
}


def objective_of(name: str, *, parts: int = 1) -> tuple[Objective[Any], StageConfig]:
    """Return an objective and its schedule, which takes its batch of 4 in so many parts."""
    schedule = replace(SCHEDULES[name], batch_size=4 // parts, accumulate=parts)
    return OBJECTIVES[name](schedule), schedule


def trained(
    name: str, team: Team, files: RunFolder, *, parts: int = 1, sharded: bool = False, steps: int = STEPS
) -> Objective[Any]:
    """Train an objective for a few steps, or on from a saved state."""
    objective, schedule = objective_of(name, parts=parts)
    for player in objective.players.values():
        player.sharded = sharded
    fit(
        objective,
        team=team,
        budget=Budget(steps=steps),
        schedule=schedule,
        seed=0,
        files=files,
        resume=True,
    )
    return objective


def losses_of_kind(kind: str, team: Team, *, sharded: bool) -> list[float]:
    """Return the losses of a prior before each of three steps."""
    torch.manual_seed(0)
    classes: dict[str, Any] = {"pixelcnn": GatedPixelCNN, "transformer": TransformerPrior, "masked": MaskedPrior}
    heads = {} if kind == "pixelcnn" else {"heads": 2}
    levels = [CodeLayout(num_embeddings=5, grid=(2, 2)), CodeLayout(num_embeddings=5, grid=(4, 4))]
    if kind == "two levels":
        priors = [
            TransformerPrior(layout=own, context=levels[:place], width=8, layers=1, heads=2)
            for place, own in enumerate(levels)
        ]
        prior: Prior = HierarchicalPrior(levels=priors)
    else:
        prior = classes[kind](layout=levels[1], width=8, layers=2, **heads)
    player = Player.scheduled(prior, PriorStageConfig(), forward_methods=["loss"])
    player.sharded = sharded
    player.set_up(team.fabric)
    player.on_devices.train()
    generator = torch.Generator().manual_seed(team.rank)
    codes = [torch.randint(5, (4, 1, *layout.grid), generator=generator) for layout in prior.layouts]
    found = []
    for _ in range(3):
        loss = player.on_devices.loss(from_levels(codes))
        found.append(float(loss.detach()))
        player.descend(team.fabric, [loss])
    return found


def losses(files: RunFolder) -> dict[str, float]:
    """Return the figures of a training by step and name."""
    return {f"{row['step']} {row['name']}": float(row["value"]) for row in read_journal(files.journal_file)}


def validated(objective: Objective[Any]) -> dict[str, float]:
    for player in objective.players.values():
        player.on_devices.eval()
    return objective.validate(progress=1.0)


def held(objective: Objective[Any]) -> tuple[int, int]:
    """Return how many numbers of the parameters this process holds, and how many there are."""
    parameters = list(objective.result.parameters())
    own = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in parameters)
    return own, sum(p.numel() for p in parameters)


def weights(objective: Objective[Any]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in whole(dict(objective.result.state_dict())).items()}


def codes(team: Team | None) -> Tensor:
    """Return the codes of images, and of a variation of each, for a prior."""
    augmentation = Augmentation(flip=0.5, seed=0)
    found = prior_data(
        autoencoder().eval(), images(70), Conditions(), augmentation=augmentation, variations=1, team=team
    )
    assert isinstance(found.codes, Tensor)
    return found.codes


def prepared(folder: Path) -> list[str]:
    """Return what others have left in the folder before, and leave something."""
    seen = sorted(path.name for path in folder.glob("*.done"))
    time.sleep(0.2)
    (folder / f"{len(seen)}-{os.getpid()}.done").touch()
    return seen


def work(team: Team, folder: Path) -> None:
    """Compute everything, and leave it in the folder."""
    left: dict[str, Any] = {"prepared": team.in_turn(lambda: prepared(folder), note="prepared")}
    left |= {"codes alone": codes(None), "codes shared": codes(team)}
    for name in OBJECTIVES:
        at_once = trained(name, team, RunFolder(folder / f"{name} at once"))
        left[f"{name} at once"] = weights(at_once)
        left[f"{name} shared"] = validated(at_once)
        at_once.team = None
        if name == "texture":
            at_once.load_state({"pull": 0.25, "times_beyond": 0})
        left[f"{name} alone"] = validated(at_once)
        left[f"{name} in parts"] = weights(trained(name, team, RunFolder(folder / f"{name} in parts"), parts=2))
    for optimizer in OPTIMIZERS:
        SCHEDULES["prior"] = replace(SCHEDULES["prior"], optimizer=optimizer)
        for kind in ("whole", "sharded"):
            files = RunFolder(folder / f"{optimizer} {kind}")
            objective = trained("prior", team, files, sharded=kind == "sharded", parts=2)
            left |= {f"{optimizer} {kind}": weights(objective), f"{optimizer} {kind} held": held(objective)}
            team.fabric.barrier()
            left[f"{optimizer} {kind} losses"] = losses(files)
    for kind in PRIORS:
        left[f"{kind} losses"] = [losses_of_kind(kind, team, sharded=sharded) for sharded in (False, True)]
    torch.save(left, folder / f"shared-{team.rank}.pt")
