"""Two and four processes take the same steps, share work, end together, and never wait for one that is gone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import shared_work
import torch
from lightning_fabric import Fabric
from several_processes import SCHEDULE, Toy

from once import made_once
from voxlex.run_folder import RunFolder
from voxlex.training.budget import Budget
from voxlex.training.checkpoint import load_state
from voxlex.training.loop import fit
from voxlex.training.team import Team

pytestmark = pytest.mark.slow

TURNS = ("alike", "slowed", "whole", "signal", "signal-resumed")
WAIT_S = 900
FULL = os.environ.get("VOXLEX_PROCESSES") == "1"
WAYS = [(2, "launched"), *([(2, "here"), (4, "here"), (4, "launched")] if FULL else [])]
KILLED = {2: 1, 4: 0}
"""The process that is killed, by how many there are."""


def run(folder: Path, start: str, *teams: str) -> None:
    """Train teams until all of them have ended, and kill a process of one that waits for it."""
    script = Path(__file__).parent / "several_processes.py"
    command = [sys.executable, str(script), str(folder), start, *teams]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for count, end in (team.split("-") for team in teams):
        if end == "killed":
            deadline = time.monotonic() + WAIT_S
            while not RunFolder(folder / end).state_file("toy").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            os.kill(int((folder / f"{end}-{KILLED[int(count)]}.pid").read_text()), signal.SIGKILL)
    _, said = process.communicate(timeout=WAIT_S)  # to the end of all who can write there
    assert process.returncode == 0, said


def lines_of(folder: Path, end: str, *starts: str) -> list[str]:
    """Return what a team told."""
    return [line for line in (folder / f"{end}.txt").read_text().splitlines() if line.startswith(starts)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "here", lambda folder: run(folder, "here", "2-killed"))


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    teams = ("4-killed", "2-hangs", "2-fails", "2-stalls")
    return made_once(tmp_path_factory, "launched", lambda folder: run(folder, "launched", *teams))


@dataclass
class Ran:
    """What several processes left, of which one was killed in the end."""

    folder: Path
    killed: int
    left: dict[str, list[dict[str, Any]]]


@pytest.fixture(params=[(2, "here"), (4, "launched")], ids=["two", "four"])
def ran(request: pytest.FixtureRequest) -> Ran:
    count, start = request.param
    folder = request.getfixturevalue(start)
    left = {turn: [torch.load(folder / f"{turn}-{rank}.pt") for rank in range(count)] for turn in TURNS}
    return Ran(folder, KILLED[count], left)


@pytest.fixture(scope="module")
def shared(launched: Path) -> list[dict[str, Any]]:
    """What each of four processes computed of their shared work."""
    return [torch.load(launched / f"shared-{rank}.pt") for rank in range(4)]


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
    gone = "a process was lost" if ran.killed == 0 else "process 1 of 2 ended by SIGKILL"
    assert lines_of(ran.folder, "killed", "told: ") == [
        f"told: toy: {gone}, and the others cannot continue without it; --resume continues from the last saved state"
    ]


def test_what_a_killed_process_was_part_of_is_resumed(ran: Ran) -> None:
    assert_resumes(ran.folder, "killed")


def test_the_first_process_prepares_and_the_others_find_it(shared: list[dict[str, Any]]) -> None:
    first, *others = [left["prepared"] for left in shared]
    assert first == []
    assert all(len(found) >= 1 for found in others)


def test_images_for_the_prior_are_encoded_once(shared: list[dict[str, Any]]) -> None:
    for left in shared:
        assert torch.equal(left["codes shared"], left["codes alone"])


@pytest.mark.parametrize("name", shared_work.OBJECTIVES)
def test_held_out_rows_are_shared_and_each_counts_once(shared: list[dict[str, Any]], name: str) -> None:
    first, *others = shared
    assert first[f"{name} shared"] == pytest.approx(first[f"{name} alone"], rel=1e-5, abs=1e-6)
    assert all(other[f"{name} shared"] == first[f"{name} shared"] for other in others)


@pytest.mark.parametrize("name", shared_work.OBJECTIVES)
def test_parts_of_a_batch_count_as_the_whole(shared: list[dict[str, Any]], name: str) -> None:
    for left in shared:
        assert_close(left[f"{name} in parts"], left[f"{name} at once"])


@pytest.mark.parametrize("optimizer", shared_work.OPTIMIZERS)
def test_a_divided_prior_learns_as_a_whole_one(shared: list[dict[str, Any]], optimizer: str) -> None:
    for left in shared:
        whole, divided = (left[f"{optimizer} {kind} losses"] for kind in ("whole", "sharded"))
        both = whole.keys() & divided.keys()  # other steps are noted if they take long
        assert {"1 train/loss", f"{shared_work.STEPS} validation/bits_per_code"} <= both
        assert {name: divided[name] for name in both} == pytest.approx({name: whole[name] for name in both}, rel=1e-4)
        assert_close(left[f"{optimizer} sharded"], left[f"{optimizer} whole"])


@pytest.mark.parametrize("kind", shared_work.PRIORS)
def test_a_prior_of_any_kind_can_be_divided(shared: list[dict[str, Any]], kind: str) -> None:
    for left in shared:
        whole, divided = left[f"{kind} losses"]
        assert divided == pytest.approx(whole, rel=1e-3)
        assert len(set(whole)) == len(whole)


def test_each_process_holds_its_part_of_a_divided_prior(shared: list[dict[str, Any]]) -> None:
    held = [left["muon sharded held"] for left in shared]
    every = held[0][1]
    assert sum(own for own, _ in held) == every
    assert max(own for own, _ in held) < 1.3 * every / len(held)  # rows of a matrix are not divided further
    assert shared[0]["muon whole held"] == (every, every)


@pytest.mark.parametrize("optimizer", shared_work.OPTIMIZERS)
def test_the_state_of_a_divided_prior_is_resumed_by_one_process(
    launched: Path, tmp_path: Path, optimizer: Literal["muon", "adamw"]
) -> None:
    after = []
    for kind in ("whole", "sharded"):
        files = RunFolder(tmp_path / kind)
        shutil.copytree(launched / f"{optimizer} {kind}", files.path)
        shared_work.SCHEDULES["prior"] = replace(shared_work.SCHEDULES["prior"], optimizer=optimizer)
        team = Team(Fabric(accelerator="cpu", devices=1))
        after.append(shared_work.trained("prior", team, files, steps=shared_work.STEPS + 2))
    assert_close(shared_work.weights(after[0]), shared_work.weights(after[1]))


def assert_close(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compare all weights together: where a gradient is almost zero, both optimizers make steps of its rounding."""
    assert first.keys() == second.keys()
    a, b = (torch.cat([value.double().flatten() for value in weights.values()]) for weights in (first, second))
    assert (a - b).norm() < 2e-3 * a.norm()  # after so many steps, Muon and AdamW are 0.03 apart


@dataclass
class Ended:
    """How a team ended, and what it said."""

    folder: Path
    status: int
    said: list[str]


def ended(request: pytest.FixtureRequest, *, count: int, end: str, start: str) -> Ended:
    """Return the end of a team, the last process of which stopped to work in a step."""
    if (count, start) == (2, "launched"):
        folder = request.getfixturevalue("launched")
    else:
        folder = request.getfixturevalue("tmp_path")
        run(folder, start, f"{count}-{end}")
    return Ended(folder, int((folder / f"{end}.status").read_text()), lines_of(folder, end, "told: ", "voxlex: "))


def assert_resumes(folder: Path, end: str) -> None:
    files = RunFolder(folder / end)
    step = load_state(files.state_file("toy"))["step"]
    toy, team = Toy(), Team(Fabric(accelerator="cpu", devices=1))
    budget = Budget(steps=step + 5)
    fitted = fit(toy, team=team, budget=budget, schedule=SCHEDULE, seed=0, files=files, resume=True)
    assert (fitted.step, toy.taken) == (step + 5, 5)


@pytest.mark.parametrize(("count", "start"), WAYS)
def test_a_process_that_hangs_ends_all(request: pytest.FixtureRequest, count: int, start: str) -> None:
    found = ended(request, count=count, end="hangs", start=start)
    (told,) = found.said
    assert f"process {count - 1} of {count} hangs at line " in told
    assert "of several_processes.py, and the others cannot continue without it; --resume continues" in told
    assert found.status == 1
    assert_resumes(found.folder, "hangs")


def test_a_process_that_hangs_in_a_validation_ends_all(request: pytest.FixtureRequest) -> None:
    found = ended(request, count=2, end="stalls", start="launched")
    (told,) = found.said
    assert "process 1 of 2 hangs at line " in told
    assert found.status == 1
    assert_resumes(found.folder, "stalls")


@pytest.mark.parametrize(("count", "start"), WAYS)
def test_an_error_in_a_process_ends_all_and_is_told_once(
    request: pytest.FixtureRequest, count: int, start: str
) -> None:
    found = ended(request, count=count, end="fails", start=start)
    assert found.said == ["told: step 200: expected a sound memory, got a bad one"]
    assert found.status == 1
    assert_resumes(found.folder, "fails")
