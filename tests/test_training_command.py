"""`voxlex train` on a folder that is there: finished, trained further, or on two devices."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import voxlex
from voxlex.cli import main
from voxlex.training.checkpoint import load_state
from voxlex.training.journal import read_journal

pytestmark = pytest.mark.slow

PREPARED = Path(__file__).parent / "golden" / "prepared"
TINY = ["--size", "32", "--model.network.width", "8", "--model.quantizer.num-embeddings", "16", "--prior.width", "8"]
TINY += ["--prior.layers", "1", "--training.autoencoder.batch-size", "2", "--training.prior.batch-size", "2"]
TINY += ["--precision", "32-true", "--accelerator", "cpu"]


def train(run: Path, *options: str) -> int:
    return main(["train", str(PREPARED), "--out", str(run), *options])


def steps_of(run: Path) -> dict[str, int]:
    stages = json.loads((run / "metadata.json").read_text())["stages"]
    return {name: facts["steps"] for name, facts in stages.items()}


def states(run: Path) -> set[str]:
    return {path.name for path in run.glob("*.pt")}


def test_a_finished_run_keeps_no_state_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(run, "--steps", "4", *TINY) == 0
    assert states(run) == set()
    report, further = capsys.readouterr().out.splitlines()
    assert report == f"report: {run / 'report.html'}"
    assert further == f"to train further: voxlex train {PREPARED} --out {run} --resume --steps 8"
    before = {
        name: (run / name).read_bytes()
        for name in (f"{stage}.safetensors" for stage in ("autoencoder", "texture", "prior"))
    }
    noted = (run / "metrics.csv").read_text()

    assert train(run, "--resume") == 0
    assert {name: (run / name).read_bytes() for name in before} == before  # nothing was left to do
    assert (run / "metrics.csv").read_text() == noted

    assert train(run, "--resume", "--steps", "8") == 0
    assert steps_of(run) == {"autoencoder": 8, "texture": 8, "prior": 8}
    journal = read_journal(run / "metrics.csv")
    validated = [
        int(row["step"]) for row in journal if row["name"] == "validation/ssim" and row["stage"] == "autoencoder"
    ]
    assert validated == list(range(1, 9))  # those of the first session are still there
    assert states(run) == set()
    assert voxlex.load(run).sample(1, seed=0).shape == (1, 1, 32, 32)


def test_only_the_prior_is_trained_further(tmp_path: Path) -> None:
    assert train(tmp_path, "--steps", "4", *TINY) == 0
    weights = (tmp_path / "autoencoder.safetensors").read_bytes()
    assert train(tmp_path, "--stage", "prior", "--steps", "8") == 0
    assert steps_of(tmp_path) == {"autoencoder": 4, "texture": 4, "prior": 8}
    assert (tmp_path / "autoencoder.safetensors").read_bytes() == weights


def test_a_state_that_is_kept_is_gone_on_from(tmp_path: Path) -> None:
    first_stage = ["--stage", "autoencoder", "--steps"]
    assert train(tmp_path, *first_stage, "4", *TINY, "--training.keep-state") == 0
    assert states(tmp_path) == {"autoencoder.state.pt"}
    assert load_state(tmp_path / "autoencoder.state.pt")["step"] == 4
    assert train(tmp_path, "--resume", *first_stage, "8", "--training.keep-state") == 0  # as it is already
    assert load_state(tmp_path / "autoencoder.state.pt")["step"] == 8
    assert steps_of(tmp_path) == {"autoencoder": 8}


@pytest.mark.parametrize(
    ("options", "variable", "used"),
    [
        (["--minutes", "0.005"], None, {1, 3}),
        (["--minutes", "0.005"], "3", {3}),
        (["--steps", "2"], None, {3}),
        (["--minutes", "0.005", "--training.threads", "2"], None, {2, 3}),
    ],
    ids=["chosen", "as OMP_NUM_THREADS says", "the same for steps", "given"],
)
def test_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], variable: str | None, used: set[int]
) -> None:
    """On a machine of three threads, one and three can be chosen."""
    asked: list[int] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked[-1] if asked else 3)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert train(tmp_path, *options, *TINY, "--stage", "autoencoder") == 0
    assert set(asked) == used
    assert asked[-1] == 3


def test_two_devices_leave_one_run_and_say_so_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "voxlex.cli", "train", str(PREPARED), "--out", str(run), "--devices", "2"]
    done = subprocess.run([*command, "--steps", "3", *TINY], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    report, _ = done.stdout.splitlines()
    assert report == f"report: {run / 'report.html'}"
    assert done.stderr.count("autoencoder step 3: held out") == 1
    assert steps_of(run) == {"autoencoder": 3, "texture": 3, "prior": 3}
    assert voxlex.load(run).sample(1, seed=0).shape == (1, 1, 32, 32)


def test_two_devices_refuse_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("voxlex.workflows.train.launch", lambda fabric: pytest.fail("was started"))
    assert train(tmp_path, "--devices", "2", *TINY, "--training.autoencoder.batch-size", "100") == 1
    assert capsys.readouterr().err.splitlines() == [
        "voxlex: training.autoencoder.batch_size: expected at most 8, as there are 16 training images for 2 devices, "
        "got 100"
    ]
