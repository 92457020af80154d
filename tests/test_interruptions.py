"""Two trainings in one folder, and signals at any time: one line, nothing half done, and the next command works."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voxlex.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

PREPARED = Path(__file__).parent / "golden" / "prepared"
TINY = ["--size", "32", "--model.network.width", "8", "--model.quantizer.num-embeddings", "16", "--prior.width", "8"]
TINY += ["--prior.layers", "1", "--training.autoencoder.batch-size", "2", "--training.prior.batch-size", "2"]
TINY += ["--precision", "32-true", "--accelerator", "cpu"]
WAIT_S = 900


started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End what a failed test has started."""
    yield
    while started:
        started.pop().kill()


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "voxlex", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.append(process)
    return process


def wait_until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_training(run: Path) -> Callable[[], bool]:
    return lambda: (run / "metrics.csv").exists() and b"train/loss" in (run / "metrics.csv").read_bytes()


def test_a_second_training_in_the_folder_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    again = ["train", str(PREPARED), "--out", str(run), "--steps", "1", *TINY]
    first = start("train", PREPARED, "--out", run, "--steps", 100_000, "--stage", "autoencoder", *TINY)
    wait_until(is_training(run), first)
    for way in (["--resume"], ["--overwrite"], []):
        assert main([*again, *way]) == 1
        assert f"run: another process ({first.pid}) trains in this folder" in capsys.readouterr().err
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert (run / ".lock").exists()
    for way in ("--resume", "--overwrite"):
        assert main([*again, way]) == 0
        assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def test_a_signal_while_preparing_clears_away_what_was_begun(tmp_path: Path) -> None:
    process = start("prepare", "phantom", "--out", tmp_path / "set", "--phantom.subjects", 5000)
    wait_until(lambda: any(tmp_path.glob(".set.*.tmp/scratch")), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert said.splitlines() == ["voxlex: interrupted by SIGTERM"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_finalizer", [False, True])
@pytest.mark.parametrize(("name", "by"), [("SIGTERM", " by SIGTERM"), ("SIGHUP", " by SIGHUP"), ("SIGINT", "")])
def test_every_signal_clears_away_and_none_is_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    by: str,
    in_finalizer: bool,
) -> None:
    """Python drops what a finalizer or a callback raises, and imports run many of them."""
    number = getattr(signal, name)

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def generate_subject(*_: object, **__: object) -> None:
        assert any(tmp_path.glob(".set.*.tmp/scratch"))
        if in_finalizer:
            Finalized()
        else:
            signal.raise_signal(number)
        for _ in range(WAIT_S * 20):
            time.sleep(0.05)

    monkeypatch.setattr("voxlex.data.phantoms.phantom.generate_subject", generate_subject)
    assert main(["prepare", "phantom", "--out", str(tmp_path / "set")]) == 128 + number
    assert capsys.readouterr().err == f"voxlex: interrupted{by}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_signal_that_comes_too_early_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A busy machine may let a timer run out before it goes on with who started it, here where Python drops it."""
    started_timers = []

    class Timer(threading.Timer):
        def start(self) -> None:
            started_timers.append(self)
            super().start()
            if len(started_timers) < 3:
                self.join()

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def generate_subject(*_: object, **__: object) -> None:
        Finalized()
        for _ in range(WAIT_S * 20):
            time.sleep(0.05)

    monkeypatch.setattr("threading.Timer", Timer)
    monkeypatch.setattr("voxlex.data.phantoms.phantom.generate_subject", generate_subject)
    assert main(["prepare", "phantom", "--out", str(tmp_path / "set")]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "voxlex: interrupted by SIGTERM\n"
    assert len(started_timers) == 3


def test_two_commands_do_not_prepare_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    first = start("prepare", "phantom", "--out", out, "--phantom.subjects", 5000)
    wait_until(lambda: any(tmp_path.glob(".set.*.tmp/scratch")), first)
    assert main(["prepare", "phantom", "--out", str(out), "--phantom.subjects", "4"]) == 1
    assert f"another process ({first.pid}) is making this folder" in capsys.readouterr().err
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert main(["prepare", "phantom", "--out", str(out), "--phantom.subjects", "4"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_ctrl_c_twice_leaves_with_one_line_and_nothing_half(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("train", PREPARED, "--out", run, "--steps", 100_000, "--stage", "autoencoder", *TINY)
    wait_until(is_training(run), process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert [line for line in said.splitlines() if line.startswith("voxlex: ")] == said.splitlines()[-1:]
    assert not list(tmp_path.rglob("*.tmp"))
    assert main(["train", str(PREPARED), "--out", str(run), "--resume", "--steps", "1", *TINY]) == 0


def test_ctrl_c_while_a_command_starts_is_one_line(tmp_path: Path) -> None:
    program = "import signal, sys, builtins; from voxlex.cli import main\n"
    program += "real = builtins.__import__\n"
    program += "def importing(name, *rest, **more):\n"
    program += "    if name == 'tyro': signal.raise_signal(signal.SIGINT)\n"
    program += "    return real(name, *rest, **more)\n"
    program += "builtins.__import__ = importing\n"
    program += "sys.exit(main(['train', 'phantom']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "voxlex: interrupted\n")


@pytest.mark.skipif(os.environ.get("VOXLEX_PROCESSES") != "1", reason="VOXLEX_PROCESSES=1 runs it; others do the same")
def test_hanging_up_one_of_two_processes_saves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", PREPARED, "--out", run, "--steps", 100_000, "--stage", "autoencoder", "--devices", 2, *TINY]
    process = start(*words)
    wait_until(is_training(run), process)
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + signal.SIGHUP
    assert [line for line in said.splitlines() if "stopped by SIGHUP" in line and "saved" in line]
    assert (run / "autoencoder.state.pt").exists()
    assert not (run / ".lock").exists()


def test_equal_runs_are_equal_files_and_name_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "secret-machine")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main(["train", str(PREPARED), "--out", "run", "--steps", "3", "--training.keep-state", *TINY]) == 0
        assert main(["encode", "run", str(PREPARED), "--out", "codes.parquet"]) == 0
    kept = ["config.yaml", "autoencoder.safetensors", "prior.safetensors", "samples.png", "reconstructions.png"]
    for name in (*(f"run/{file}" for file in kept), "codes.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    telling = [b"secret-machine", os.fsencode(tmp_path), os.fsencode(Path.home()) + b"/"]
    for path in (tmp_path / "one").rglob("*"):
        assert path.is_dir() or not [word for word in telling if word in path.read_bytes()], path
    assert main(["train", str(PREPARED), "--out", "run", "--resume", "--training.keep-state"]) == 0
