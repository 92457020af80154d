"""Processes that torchrun or Slurm has started find each other and train one run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy

from voxlex.errors import ConfigError
from voxlex.run_folder import RunFolder
from voxlex.training.devices import choose_devices
from voxlex.training.processes import Launched, is_first_process, launched

FULL = os.environ.get("VOXLEX_PROCESSES") == "1"
TINY = ["--size", "32", "--model.network.width", "8", "--prior.width", "8"]
TINY += ["--model.quantizer.num-embeddings", "16", "--prior.layers", "1", "--training.autoencoder.batch-size", "2"]
TINY += ["--precision", "32-true", "--accelerator", "cpu", "--stage", "autoencoder"]
WAIT_S = 900

TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
TORCHRUN |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "none"}
SLURM = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "voxlex"}
SLURM |= {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_JOB_ID": "1234"}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in TORCHRUN:
            monkeypatch.delenv(name)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [(TORCHRUN, TorchElasticEnvironment), (SLURM, SLURMEnvironment)],
    ids=["torchrun", "slurm"],
)
def test_the_variables_of_a_launcher_say_who_trains(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: type
) -> None:
    set_all(monkeypatch, variables)
    assert launched() == Launched(on_each=4, machines=2)
    assert not is_first_process()
    strategy = choose_devices(accelerator="cpu").strategy
    assert isinstance(strategy, DDPStrategy)
    assert isinstance(strategy.cluster_environment, expected)
    assert (strategy.num_processes, strategy.num_nodes) == (4, 2)
    with pytest.raises(ConfigError, match=r"training\.devices: expected 4, as many .* or 1, got 3"):
        choose_devices(accelerator="cpu", devices=3)


@pytest.mark.parametrize("variables", [{}, SLURM | {"SLURM_NTASKS": "1"}, SLURM | {"SLURM_JOB_NAME": "interactive"}])
def test_without_a_launcher_processes_are_started_here(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_all(monkeypatch, variables)
    assert launched() is None
    strategy = choose_devices(accelerator="cpu", devices=2).strategy
    assert isinstance(strategy, DDPStrategy)
    assert isinstance(strategy.cluster_environment, LightningEnvironment)


@pytest.fixture
def source(make_folder: Callable[..., Path]) -> Path:
    return make_folder(24)


def train_words(source: Path, run: Path, *more: str) -> list[str]:
    return ["-m", "voxlex", "train", str(source), "--out", str(run), *TINY, *more]


def of_voxlex(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("voxlex: ")]


@pytest.mark.slow
def test_torchrun_trains_one_run(source: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        *train_words(source, run, "--steps", "2"),
    ]
    variables = os.environ | {"VOXLEX_CACHE": str(cache)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("report: ")] == [
        f"report: {run / 'report.html'}"
    ]
    assert done.stderr.count("autoencoder step 2: held out") == 1
    assert RunFolder(run).metadata()["stages"]["autoencoder"]["processes"] == 2
    assert len([folder for folder in cache.iterdir() if not folder.name.startswith(".")]) == 1


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="VOXLEX_PROCESSES=1 runs it")
def test_torchrun_tells_all_to_stop(source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    process = start([*command, *train_words(source, run, "--steps", "100000")])
    wait_until(lambda: is_training(run), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    (told,) = of_voxlex(said)
    assert "stopped by SIGTERM at step" in told
    resume(source, run)


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="VOXLEX_PROCESSES=1 runs it")
@pytest.mark.parametrize("signaled", [signal.SIGTERM, signal.SIGKILL])
def test_tasks_of_slurm_end_together(source: Path, tmp_path: Path, signaled: signal.Signals) -> None:
    run = tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    common |= {"SLURM_JOB_NAME": "voxlex", "SLURM_JOB_ID": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, *train_words(source, run, "--steps", "100000")]
    first, second = (start(command, common | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}) for rank in ("0", "1"))
    wait_until(lambda: is_training(run), first)
    second.send_signal(signaled)
    said = [process.communicate(timeout=WAIT_S)[1] for process in (first, second)]
    told = [line for words in said for line in of_voxlex(words)]
    assert len(told) == 1, told
    if signaled == signal.SIGTERM:
        assert (first.returncode, second.returncode) == (143, 143)
        assert "stopped by SIGTERM" in told[0]
        resume(source, run)
    else:
        assert first.returncode == 1
        assert "and the others cannot continue without it; --resume continues from the last saved state" in told[0]


def start(command: list[str], variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | (variables or {})
    )


def is_training(run: Path) -> bool:
    return (run / "metrics.csv").exists() and b"train/loss" in (run / "metrics.csv").read_bytes()


def wait_until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def resume(source: Path, run: Path) -> None:
    """Go on with one process."""
    steps = ["--steps", "1", "--resume"]
    done = subprocess.run(
        [sys.executable, *train_words(source, run, *steps)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
