"""Train a toy in several processes: to the end of a budget in minutes, to a signal, on from there, and until killed.

    python several_processes.py PROCESSES FOLDER

Each process leaves `RANK.pid`, and `TURN-RANK.pt` with the step and the weights that a turn of training ended with.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from voxlex.config import StageConfig
from voxlex.errors import Interrupted, ToldElsewhere, VoxlexError
from voxlex.run_folder import RunFolder
from voxlex.training.budget import Budget
from voxlex.training.devices import choose_devices, launch
from voxlex.training.loop import fit
from voxlex.training.objectives import Objective, Step
from voxlex.training.player import Player
from voxlex.training.team import Team

SCHEDULE = StageConfig(batch_size=2, validations=3)
SLOW_S, QUICK_S = 0.05, 0.005


class Toy(Objective[Tensor]):
    """A line through points, with noise of its own in each process.

    Args:
        seconds: What a step takes.
        signal_at: The step in which this process gets a SIGTERM.
    """

    name = "toy"
    yardstick = "error"

    def __init__(self, *, seconds: float = QUICK_S, signal_at: int | None = None) -> None:
        torch.manual_seed(1)
        self.result = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 4))
        self.player = Player.scheduled(self.result, SCHEDULE)
        self.players = {"toy": self.player}
        self.points = torch.randn(64, 4)
        self.rows = len(self.points)
        self.seconds = seconds
        self.signal_at = signal_at
        self.taken = 0

    def load(self, rows: Tensor, *, step: int) -> Tensor:
        return self.points[rows]

    def update(self, fabric: Fabric, batch: Tensor, *, progress: float) -> Step:
        self.taken += 1
        if self.taken == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.seconds)
        loss = (self.player.on_devices(batch) - batch).square().mean()
        self.player.descend(fabric, [loss])
        return Step(losses={"l2": loss}, measure=dict)

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        return {"error": float((self.player.on_devices(self.points) - self.points).square().mean())}


def train(toy: Toy, budget: Budget, *, turn: str, team: Team, folder: Path, resume: bool = False) -> None:
    """Train, and save what this process ended with; what it is told to end by counts as an end."""
    torch.manual_seed(team.fabric.global_rank)
    ended, step = "", -1
    files = RunFolder(folder / turn)
    try:
        fitted = fit(
            toy, team=team, budget=budget, schedule=SCHEDULE, seed=0, files=files, resume=resume, save_every_s=0.2
        )
        step = fitted.step
    except (Interrupted, ToldElsewhere) as error:
        ended = f"{type(error).__name__}: {error}"
    left = {"step": step, "taken": toy.taken, "ended": ended, "weights": toy.result.state_dict()}
    torch.save(left, folder / f"{turn}{'-resumed' if resume else ''}-{team.fabric.global_rank}.pt")


def main() -> None:
    processes, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    team = launch(choose_devices(accelerator="cpu", devices=processes))
    rank = team.fabric.global_rank
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    last = rank == processes - 1
    second = Budget(minutes=1 / 60)
    train(Toy(), second, turn="alike", team=team, folder=folder)
    train(Toy(seconds=SLOW_S if last else QUICK_S), second, turn="slowed", team=team, folder=folder)
    steps = Budget(steps=20)
    train(Toy(), steps, turn="whole", team=team, folder=folder)
    train(Toy(signal_at=8 if last else None), steps, turn="signal", team=team, folder=folder)
    train(Toy(), steps, turn="signal", team=team, folder=folder, resume=True)
    train(Toy(), Budget(minutes=10), turn="killed", team=team, folder=folder)


if __name__ == "__main__":
    try:
        main()
    except VoxlexError as error:
        if not isinstance(error, ToldElsewhere):
            print(f"told: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
