import csv
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from voxlex.errors import DataError, Interrupted, TrainingError
from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.quantizers import VectorQuantizer
from voxlex.training.budget import Budget
from voxlex.training.journal import read_journal
from voxlex.training.loop import Fitted, Schedule, fit
from voxlex.training.objectives import Objective, Step

SCHEDULE = Schedule(
    batch_size=4,
    learning_rate=1e-2,
    weight_decay=1e-2,
    betas=(0.9, 0.99),
    warmup=0.1,
    gradient_clip=1.0,
    validations=2,
)


class Toy(Objective):
    """A small VQ-VAE on noise, with dropout so that randomness must be resumed too."""

    name = "toy"

    def __init__(self, *, rows: int = 40, stop_at: int | None = None, spoil_at: int | None = None) -> None:
        torch.manual_seed(1)
        settings = {"embedding_dim": 4, "width": 8, "blocks": 1}
        encoder = nn.Sequential(Encoder(**settings), nn.Dropout(0.1))
        quantizer = VectorQuantizer(num_embeddings=8, embedding_dim=4, revival_threshold=0.5)
        self.module = VQVAE(encoder=encoder, quantizer=quantizer, decoder=Decoder(**settings))
        self.images = torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(2))
        self.rows = rows
        self.stop_at = stop_at
        self.spoil_at = spoil_at
        self.taken = 0

    def load(self, rows: Tensor, *, step: int) -> tuple[Tensor | None, ...]:
        return (self.images[rows],)

    def step(self, module: nn.Module, batch: tuple[Tensor | None, ...], *, progress: float) -> Step:
        self.taken += 1
        if self.taken == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        (x,) = batch
        assert x is not None
        outputs = module(x)
        loss = (outputs.x_hat - x).abs().mean()
        if self.taken == self.spoil_at:
            loss = loss * float("nan")
        return Step(losses={"l1": loss, **outputs.losses}, measure=lambda: {"codes": 1.0})

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        return {"l1": float((module(self.images).x_hat - self.images).abs().mean())}


class Judged(Toy):
    """Its validations give the figures they are told to, whatever is learned."""

    yardstick = "l1"

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = figures
        self.seen: list[dict[str, Tensor]] = []

    def validate(self, module: nn.Module) -> dict[str, float]:
        self.seen.append({name: tensor.clone() for name, tensor in self.module.state_dict().items()})
        return {"l1": self.figures.pop(0)}


def train(objective: Toy, folder: Path, *, steps: int, resume: bool = False) -> Fitted:
    torch.manual_seed(3)
    fabric = Fabric(accelerator="cpu", devices=1)
    return fit(
        objective, fabric=fabric, budget=Budget(steps=steps), schedule=SCHEDULE, seed=0, folder=folder, resume=resume
    )


def weights(objective: Toy) -> Mapping[str, Tensor]:
    return objective.module.state_dict()


def test_it_learns_and_notes_what_it_did(tmp_path: Path) -> None:
    toy = Toy()
    before = toy.validate(toy.module.eval())["l1"]
    fitted = train(toy, tmp_path, steps=60)
    assert fitted.step == 60
    assert toy.validate(toy.module.eval())["l1"] < before
    journal = read_journal(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in journal if row["name"] == "validation/l1"] == [30, 60]
    assert {"train/loss", "train/l1", "train/commitment"} <= {row["name"] for row in journal}


def test_a_stopped_run_resumes_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    whole = Toy()
    train(whole, tmp_path / "whole", steps=24)
    with pytest.raises(Interrupted, match="SIGTERM at step 11, saved"):
        train(Toy(stop_at=11), tmp_path / "parts", steps=24)
    resumed = Toy()
    fitted = train(resumed, tmp_path / "parts", steps=24, resume=True)
    assert fitted.step == 24
    assert resumed.taken == 13
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    train(Toy(), tmp_path, steps=5)
    again = Toy()
    assert train(again, tmp_path, steps=5, resume=True).step == 5
    assert again.taken == 0


def test_the_journal_forgets_what_was_not_saved(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(Toy(stop_at=5), tmp_path, steps=24)
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["toy", 9, "1.0", "train/loss", "123"])
    train(Toy(), tmp_path, steps=24, resume=True)
    assert "123" not in [row["value"] for row in read_journal(tmp_path / "metrics.csv")]


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="toy: the loss is nan at step 1"):
        train(Toy(spoil_at=1), tmp_path, steps=24)


def test_fewer_rows_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fewer than one batch"):
        train(Toy(rows=3), tmp_path, steps=1)


def test_signals_act_as_usual_afterwards(tmp_path: Path) -> None:
    usual = signal.getsignal(signal.SIGINT)
    train(Toy(), tmp_path, steps=1)
    assert signal.getsignal(signal.SIGINT) is usual


def test_the_best_weights_on_held_out_rows_are_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judged = Judged([1.0, 2.0])
    fitted = train(judged, tmp_path, steps=20)
    assert (fitted.step, fitted.kept_step) == (20, 10)
    assert all(torch.equal(tensor, judged.seen[0][name]) for name, tensor in weights(judged).items())
    assert "kept the weights of step 10" in capfd.readouterr().err


def test_the_last_weights_are_kept_if_none_were_better(tmp_path: Path) -> None:
    judged = Judged([2.0, 1.0])
    assert train(judged, tmp_path, steps=20).kept_step == 20
    assert all(torch.equal(tensor, judged.seen[1][name]) for name, tensor in weights(judged).items())


def test_a_resumed_run_still_knows_the_best_weights(tmp_path: Path) -> None:
    before = Judged([1.0, 2.0])
    train(before, tmp_path, steps=20)
    resumed = Judged([3.0, 4.0])
    assert train(resumed, tmp_path, steps=40, resume=True).kept_step == 10
    assert all(torch.equal(tensor, before.seen[0][name]) for name, tensor in weights(resumed).items())
