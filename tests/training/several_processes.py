"""Train toys in teams of several processes: to the end of a budget, to a signal, on from there, and until the end.

    python several_processes.py FOLDER START PROCESSES-END...

The last process of a team hangs, fails, stalls in a validation or waits to be killed, according to END. Only a team
that waits to be killed does the rest, too. With START "here", the first process of the one team starts the others; with
"launched", they are started as a launcher does it, and several teams train at once, because to import all this takes
longest.
Each process leaves `END-RANK.pid`, and `TURN-RANK.pt` with the step and the weights that a turn of training ended
with. Each team leaves `END.txt`, what it said, and `END.status`, the exit status of its first process.
"""

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import shared_work
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from voxlex.config import StageConfig
from voxlex.errors import Interrupted, ToldElsewhere
from voxlex.run_folder import RunFolder
from voxlex.training import pace
from voxlex.training.budget import Budget
from voxlex.training.devices import choose_devices, launch
from voxlex.training.loop import fit
from voxlex.training.objective import Objective, Step
from voxlex.training.player import Player
from voxlex.training.team import Team

SCHEDULE = StageConfig(batch_size=2, validations=3)
SLOW_S, QUICK_S = 0.05, 0.005
ENDS = ("killed", "hangs", "fails", "stalls")


class Toy(Objective[Tensor]):
    """A line through points, with noise of its own in each process.

    Args:
        seconds: What a step takes.
        signal_at: The step in which this process gets a SIGTERM.
        hang_at: The step in which this process does not get on.
        fail_at: The step in which this process fails.
        stall_at: The validation in which this process does not get on.
    """

    name = "toy"
    yardstick = "error"

    def __init__(
        self,
        *,
        seconds: float = QUICK_S,
        signal_at: int | None = None,
        hang_at: int | None = None,
        fail_at: int | None = None,
        stall_at: int | None = None,
    ) -> None:
        torch.manual_seed(1)
        self.result = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 4))
        self.player = Player.scheduled(self.result, SCHEDULE)
        self.players = {"toy": self.player}
        self.points = torch.randn(64, 4)
        self.rows = len(self.points)
        self.seconds = seconds
        self.signal_at, self.hang_at, self.fail_at, self.stall_at = signal_at, hang_at, fail_at, stall_at
        self.taken = self.validated = 0

    def load(self, rows: Tensor, *, step: int) -> Tensor:
        return self.points[rows]

    def update(self, fabric: Fabric, batch: Tensor, *, progress: float) -> Step:
        self.taken += 1
        if self.taken == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.taken == self.fail_at:
            raise ValueError(f"step {self.taken}: expected a sound memory, got a bad one")
        time.sleep(1000 if self.taken == self.hang_at else self.seconds)
        loss = (self.player.on_devices(batch) - batch).square().mean()
        self.player.descend(fabric, [loss])
        return Step(losses={"l2": loss}, measure=dict)

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        self.validated += 1
        for piece in self.in_pieces(range(3)):
            time.sleep(1000 if piece and self.validated == self.stall_at else 0)
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
    if ended.startswith("ToldElsewhere") and turn in ENDS:
        raise ToldElsewhere(ended)


def train_all(team: Team, folder: Path) -> None:
    """Train as long as nothing is wrong. Four processes also share work, which two would do no differently."""
    last = team.rank == team.size - 1
    second = Budget(minutes=1 / 60)
    train(Toy(), second, turn="alike", team=team, folder=folder)
    train(Toy(seconds=SLOW_S if last else QUICK_S), second, turn="slowed", team=team, folder=folder)
    steps = Budget(steps=20)
    train(Toy(), steps, turn="whole", team=team, folder=folder)
    train(Toy(signal_at=8 if last else None), steps, turn="signal", team=team, folder=folder)
    train(Toy(), steps, turn="signal", team=team, folder=folder, resume=True)
    if team.size == 4:
        shared_work.work(team, folder)


def apart(teams: Sequence[str], folder: Path) -> str:
    """Return in a new process for each of the teams; end when all of them have ended, and leave how."""
    ends = {}
    for team in teams:
        child, end = os.fork(), team.partition("-")[2]
        if not child:
            os.dup2(os.open(folder / f"{end}.txt", os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
            return team
        ends[child] = end
    for child, end in ends.items():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (folder / f"{end}.status").write_text(str(status))
    sys.exit()


def fork(processes: int) -> None:
    """Return in as many new processes, with the variables of torchrun, and end when all of them have ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    os.environ |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0"}
    children = []
    for rank in range(processes):
        child = os.fork()
        if not child:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            return
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(statuses[0])


def main() -> None:
    folder, start, *teams = Path(sys.argv[1]), *sys.argv[2:]
    torch.set_num_threads(1)
    gc.freeze()  # what is imported is no garbage, and need not be looked at before the processes end
    started = "LOCAL_RANK" in os.environ  # by the first process
    count, end = (teams[0] if started else apart(teams, folder)).split("-")
    processes = int(count)
    if start == "launched":
        fork(processes)
    team = launch(choose_devices(accelerator="cpu", devices=processes))
    (folder / f"{end}-{team.rank}.pid").write_text(str(os.getpid()))
    if end == "killed":
        train_all(team, folder)
        team = Team(team.fabric, team.watch)  # the interruption has ended the first one
    at = 200 if team.rank == processes - 1 else None
    toys: dict[str, Callable[[], Toy]] = {
        "killed": Toy,
        "hangs": lambda: Toy(hang_at=at),
        "fails": lambda: Toy(fail_at=at),
        "stalls": lambda: Toy(stall_at=2 if at else None),
    }
    budget = Budget(minutes=10)
    if end == "stalls":
        pace._STUCK_S, budget = 3.0, Budget(steps=400)
    with team.ending_together():
        train(toys[end](), budget, turn=end, team=team, folder=folder)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        if not isinstance(error, ToldElsewhere):
            print(f"told: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
