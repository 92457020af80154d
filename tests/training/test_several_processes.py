"""Two and three processes take the same steps, end together, and never wait for one that is gone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from several_processes import SCHEDULE, Toy

from voxlex.run_folder import RunFolder
from voxlex.training.budget import Budget
from voxlex.training.checkpoint import load_state
from voxlex.training.loop import fit
from voxlex.training.team import Team

pytestmark = pytest.mark.slow

TURNS = ("alike", "slowed", "whole", "signal", "signal-resumed")
WAIT_S = 240


@dataclass
class Ran:
    """What several processes left, of which one was killed in the end."""

    folder: Path
    killed: int
    left: dict[str, list[dict[str, Any]]]
    said: str


@pytest.fixture(scope="module", params=[(2, 1), (3, 0)], ids=["two", "three"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    count, killed = request.param
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, str(Path(__file__).parent / "several_processes.py"), str(count), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + WAIT_S
    while not RunFolder(folder / "killed").state_file("toy").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(int((folder / f"{killed}.pid").read_text()), signal.SIGKILL)
    _, said = process.communicate(timeout=WAIT_S)  # to the end of all who can write there
    left = {turn: [torch.load(folder / f"{turn}-{rank}.pt") for rank in range(count)] for turn in TURNS}
    return Ran(folder, killed, left, said)


def assert_equal_weights(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


@pytest.mark.parametrize("turn", TURNS)
def test_all_end_with_the_same_step_and_weights(ran: Ran, turn: str) -> None:
    first, *others = ran.left[turn]
    assert first["taken"] > 0
    for other in others:
        assert (other["step"], other["taken"]) == (first["step"], first["taken"])
        assert_equal_weights(first, other)


def test_a_signal_to_one_stops_all_and_one_of_them_tells(ran: Ran) -> None:
    first, *others = ran.left["signal"]
    assert first["ended"] == "Interrupted: toy: stopped by SIGTERM at step 8, saved; continue with --resume"
    assert all(other["ended"].startswith("ToldElsewhere: ") for other in others)


def test_what_was_stopped_goes_on_as_if_it_had_not_been(ran: Ran) -> None:
    for whole, resumed in zip(ran.left["whole"], ran.left["signal-resumed"], strict=True):
        assert (whole["taken"], resumed["taken"]) == (20, 12)
        assert_equal_weights(whole, resumed)


def test_when_one_is_killed_one_of_the_others_tells(ran: Ran) -> None:
    told = [line for line in ran.said.splitlines() if line.startswith("told: ")]
    gone = "the first process ended" if ran.killed == 0 else f"process {ran.killed} of 2 ended by SIGKILL"
    assert told == [
        f"told: toy: {gone}, and the others cannot continue without it; --resume continues from the last saved state"
    ]


def test_what_a_killed_process_was_part_of_is_resumed(ran: Ran) -> None:
    files = RunFolder(ran.folder / "killed")
    step = load_state(files.state_file("toy"))["step"]
    toy, team = Toy(), Team(Fabric(accelerator="cpu", devices=1))
    budget = Budget(steps=step + 5)
    fitted = fit(toy, team=team, budget=budget, schedule=SCHEDULE, seed=0, files=files, resume=True)
    assert (fitted.step, toy.taken) == (step + 5, 5)
