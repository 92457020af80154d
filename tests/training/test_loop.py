import csv
import os
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from voxlex.config import StageConfig
from voxlex.errors import DataError, Interrupted, RunError, TrainingError
from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.quantizers import VectorQuantizer
from voxlex.run_folder import RunFolder
from voxlex.training.budget import Budget
from voxlex.training.checkpoint import load_state
from voxlex.training.display import SILENCE, Display, Silence
from voxlex.training.journal import read_journal
from voxlex.training.loop import Fitted, fit
from voxlex.training.objective import Objective, Step
from voxlex.training.pictures import Shown, read_about
from voxlex.training.player import Player
from voxlex.training.team import Team

SCHEDULE = StageConfig(learning_rate=1e-2, weight_decay=1e-2, warmup=0.1, validations=2)


class Toy(Objective[Tensor]):
    """A small VQ-VAE on noise, with dropout so that randomness must be resumed too."""

    name = "toy"

    def __init__(self, *, rows: int = 40, stop_at: int | None = None, spoil_at: range = range(0)) -> None:
        torch.manual_seed(1)
        settings = {"embedding_dim": 4, "width": 8, "blocks": 1}
        encoder = nn.Sequential(Encoder(**settings), nn.Dropout(0.1))
        quantizer = VectorQuantizer(num_embeddings=8, embedding_dim=4, revival_threshold=0.5)
        self.result = VQVAE(encoder=encoder, quantizer=quantizer, decoder=Decoder(**settings))
        self.player = Player.scheduled(self.result, SCHEDULE)
        self.players = {"toy": self.player}
        self.images = torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(2))
        self.rows = rows
        self.stop_at = stop_at
        self.spoil_at = spoil_at
        self.taken = 0

    def load(self, rows: Tensor, *, step: int) -> Tensor:
        return self.images[rows]

    def update(self, fabric: Fabric, batch: Tensor, *, progress: float) -> Step:
        self.taken += 1
        if self.taken == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        outputs = self.player.on_devices(batch)
        loss = (outputs.x_hat - batch).abs().mean()
        if self.taken in self.spoil_at:
            loss = loss * float("nan")
        losses = {"l1": loss, **outputs.losses}
        self.player.descend(fabric, losses.values())
        return Step(losses=losses, measure=lambda: {"codes": 1.0})

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        return {"l1": float((self.player.on_devices(self.images).x_hat - self.images).abs().mean())}


class Watched(Toy):
    """Its validations leave pictures."""

    def validate(self, *, progress: float) -> dict[str, float]:
        self.shown = Shown.of(self.images, self.images)
        return super().validate(progress=progress)


class Judged(Toy):
    """Its validations give the figures they are told to, whatever is learned."""

    yardstick = "l1"

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = figures
        self.seen: list[dict[str, Tensor]] = []

    def validate(self, *, progress: float) -> dict[str, float]:
        self.seen.append({name: tensor.clone() for name, tensor in self.result.state_dict().items()})
        return {"l1": self.figures.pop(0)}


class Duel(Objective[Tensor]):
    """A generator of numbers against a critic that tells them from real ones: two modules, two optimizers."""

    name = "duel"

    def __init__(self, *, stop_at: int | None = None) -> None:
        torch.manual_seed(1)
        generator = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1))
        critic = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 1))
        self.generator = Player(generator, torch.optim.Adam(generator.parameters(), lr=0.02), gradient_clip=1.0)
        self.critic = Player(critic, torch.optim.SGD(critic.parameters(), lr=0.1, momentum=0.5), gradient_clip=1.0)
        self.players = {"generator": self.generator, "critic": self.critic}
        self.result = generator
        self.real = 3 + 0.1 * torch.randn(64, 1, generator=torch.Generator().manual_seed(2))
        self.rows = len(self.real)
        self.stop_at = stop_at
        self.taken = 0

    def load(self, rows: Tensor, *, step: int) -> Tensor:
        return self.real[rows]

    def update(self, fabric: Fabric, batch: Tensor, *, progress: float) -> Step:
        self.taken += 1
        if self.taken == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        made = self.generator.on_devices(torch.randn(len(batch), 2))
        told = self.critic.on_devices(torch.cat([batch, made.detach()]))
        truth = torch.cat([torch.ones_like(batch), torch.zeros_like(made)])
        telling = binary_cross_entropy_with_logits(told, truth)
        self.critic.descend(fabric, [telling])
        fooling = binary_cross_entropy_with_logits(self.critic.on_devices(made), torch.ones_like(made))
        self.generator.descend(fabric, [fooling])
        return Step(losses={"telling": telling, "fooling": fooling}, measure=dict)

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(3))
        return {"distance": float((self.generator.on_devices(noise).mean() - 3).abs())}


def train(
    objective: Objective[Tensor],
    folder: Path,
    *,
    steps: int,
    resume: bool = False,
    begun: Fitted | None = None,
    display: Display = SILENCE,
) -> Fitted:
    torch.manual_seed(3)
    return fit(
        objective,
        team=Team(Fabric(accelerator="cpu", devices=1)),
        budget=Budget(steps=steps),
        schedule=SCHEDULE,
        seed=0,
        files=RunFolder(folder),
        resume=resume,
        begun=begun,
        display=display,
    )


def weights(objective: Objective[Tensor]) -> Mapping[str, Tensor]:
    return objective.result.state_dict()


def test_it_learns_and_notes_what_it_did(tmp_path: Path) -> None:
    toy = Toy()
    toy.result.eval()
    before = toy.validate(progress=0)["l1"]
    fitted = train(toy, tmp_path, steps=60)
    assert fitted.step == 60
    toy.result.eval()
    assert toy.validate(progress=1)["l1"] < before
    journal = read_journal(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in journal if row["name"] == "validation/l1"] == [30, 60]
    assert {"train/loss", "train/loss/l1", "train/loss/commitment"} <= {row["name"] for row in journal}


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


def test_two_players_learn_against_each_other(tmp_path: Path) -> None:
    duel = Duel()
    before = duel.validate(progress=0)["distance"]
    train(duel, tmp_path, steps=300)
    assert duel.validate(progress=1)["distance"] < before / 4
    journal = read_journal(tmp_path / "metrics.csv")
    assert {"train/loss/telling", "train/loss/fooling", "validation/distance"} <= {row["name"] for row in journal}


def test_two_players_resume_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    whole = Duel()
    train(whole, tmp_path / "whole", steps=24)
    with pytest.raises(Interrupted):
        train(Duel(stop_at=11), tmp_path / "parts", steps=24)
    resumed = Duel()
    train(resumed, tmp_path / "parts", steps=24, resume=True)
    assert resumed.taken == 13
    for name, player in whole.players.items():
        for key, value in player.module.state_dict().items():
            assert torch.equal(value, resumed.players[name].module.state_dict()[key]), key


def test_the_state_of_other_players_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(Duel(stop_at=2), tmp_path, steps=24)
    toy = Toy()
    toy.name = "duel"
    with pytest.raises(RunError, match=r"duel\.state\.pt: expected the state of toy, got that of generator, critic"):
        train(toy, tmp_path, steps=24, resume=True)


def test_every_learning_rate_follows_the_schedule_from_its_own_peak(tmp_path: Path) -> None:
    duel = Duel()
    train(duel, tmp_path, steps=10)  # 90 % of the budget are spent when the last step begins: a tenth of the way down
    rates = [player.optimizer.param_groups[0]["lr"] for player in duel.players.values()]
    assert rates[0] / rates[1] == pytest.approx(0.02 / 0.1)
    assert rates[0] < 0.02 / 10


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


def test_a_step_whose_loss_is_no_number_is_left_out_and_counted(tmp_path: Path) -> None:
    toy = Toy(spoil_at=range(3, 6))
    before: list[dict[str, Tensor]] = []
    update = toy.update

    def watched(fabric: Fabric, batch: Tensor, *, progress: float) -> Step:
        before.append({name: weight.clone() for name, weight in toy.result.named_parameters()})
        return update(fabric, batch, progress=progress)

    toy.update = watched  # type: ignore[method-assign]
    train(toy, tmp_path, steps=24)
    same = [all(torch.equal(a[name], b[name]) for name in a) for a, b in pairwise(before)]
    assert [number for number, unchanged in enumerate(same, 1) if unchanged] == [3, 4, 5]
    assert all(weight.isfinite().all() for weight in toy.result.parameters())
    values = {row["name"]: row["value"] for row in read_journal(tmp_path / "metrics.csv")}
    assert values["train/skipped_steps"] == "3"


def test_a_loss_that_stays_no_number_stops_training(tmp_path: Path) -> None:
    toy = Toy(spoil_at=range(4, 100))
    said = r"toy: expected a finite gradient, got none in 10 steps in a row, up to step 13; try a lower --training\.toy"
    with pytest.raises(TrainingError, match=said):
        train(toy, tmp_path, steps=24)
    assert all(weight.isfinite().all() for weight in toy.result.parameters())


def test_fewer_rows_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one batch of 4, got 3; .* --training\.toy\.batch-size of 3 or less"):
        train(Toy(rows=3), tmp_path, steps=1)


def test_signals_act_as_usual_afterwards(tmp_path: Path) -> None:
    usual = signal.getsignal(signal.SIGINT)
    train(Toy(), tmp_path, steps=1)
    assert signal.getsignal(signal.SIGINT) is usual


class Listener(Silence):
    """Remembers which weights were kept."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def stage(self, name: str) -> AbstractContextManager["Listener"]:
        return nullcontext(self)

    def kept(self, step: int) -> None:
        self.heard.append(step)


def test_the_best_weights_on_held_out_rows_are_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judged, listener = Judged([1.0, 2.0]), Listener()
    fitted = train(judged, tmp_path, steps=20, display=listener)
    assert (fitted.step, fitted.kept_step) == (20, 10)
    assert all(torch.equal(tensor, judged.seen[0][name]) for name, tensor in weights(judged).items())
    assert listener.heard == [10]
    assert capfd.readouterr() == ("", "")


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


def test_finished_weights_are_trained_further_without_a_state(tmp_path: Path) -> None:
    first = Toy()
    begun = train(first, tmp_path, steps=20)
    (tmp_path / "toy.state.pt").unlink()
    second = Toy()
    second.result.load_state_dict(first.result.state_dict())
    fitted = train(second, tmp_path, steps=30, resume=True, begun=begun)
    assert (fitted.step, second.taken) == (30, 10)
    steps = [int(row["step"]) for row in read_journal(tmp_path / "metrics.csv") if row["name"] == "validation/l1"]
    assert steps == [10, 20, 30]


def test_finished_weights_stay_if_further_training_makes_them_worse(tmp_path: Path) -> None:
    judged = Judged([1.0, 2.0, 3.0])
    begun = Fitted(step=20, elapsed_s=0.0, kept_step=20)
    fitted = train(judged, tmp_path, steps=40, begun=begun)
    assert (fitted.step, fitted.kept_step) == (40, 20)
    assert all(torch.equal(tensor, judged.seen[0][name]) for name, tensor in weights(judged).items())


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_wish_to_stop_saves(tmp_path: Path, name: str) -> None:
    class Stopped(Toy):
        def load(self, rows: Tensor, *, step: int) -> Tensor:
            if step == 4:
                os.kill(os.getpid(), getattr(signal, name))
            return super().load(rows, step=step)

    with pytest.raises(Interrupted, match=f"stopped by {name} at step 5, saved") as stopped:
        train(Stopped(), tmp_path, steps=24)
    assert stopped.value.number == getattr(signal, name)
    assert load_state(RunFolder(tmp_path).state_file("toy"))["step"] == 5


def test_what_ignores_hanging_up_is_not_stopped_by_it(tmp_path: Path) -> None:
    class HungUp(Toy):
        def load(self, rows: Tensor, *, step: int) -> Tensor:
            os.kill(os.getpid(), signal.SIGHUP)
            return super().load(rows, step=step)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert train(HungUp(), tmp_path, steps=3).step == 3
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    class Impatient(Toy):
        def load(self, rows: Tensor, *, step: int) -> Tensor:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            return super().load(rows, step=step)

    with pytest.raises(KeyboardInterrupt):
        train(Impatient(), tmp_path, steps=24)
    assert not RunFolder(tmp_path).state_file("toy").exists()


def test_a_state_that_finds_no_room_does_not_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []

    def full(path: Path, state: object, **_: object) -> None:
        raise DataError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr("voxlex.training.loop.save_state", full)
    monkeypatch.setattr(Silence, "note", lambda self, text: notes.append(text))
    assert train(Toy(), tmp_path, steps=5).step == 5
    assert notes
    assert all("toy.state.pt: cannot be written: No space left on device" in note for note in notes)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM at step 2, not saved: .*No space left"):
        train(Toy(stop_at=2), tmp_path, steps=5)


def test_pictures_of_validations_change_nothing_that_is_learned(tmp_path: Path) -> None:
    plain, watched = Toy(), Watched()
    for name, objective in (("plain", plain), ("watched", watched)):
        train(objective, tmp_path / name, steps=12)
    assert all(torch.equal(one, weights(watched)[name]) for name, one in weights(plain).items())
    about = read_about(RunFolder(tmp_path / "watched").validations_file("toy"))
    assert about is not None
    steps = [
        int(row["step"]) for row in read_journal(tmp_path / "watched" / "metrics.csv") if row["name"] == "validation/l1"
    ]
    assert [row["step"] for row in about["rows"]] == steps
    assert not RunFolder(tmp_path / "plain").validations_file("toy").exists()
