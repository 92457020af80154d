"""A lock keeps others out for as long as its process lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from voxlex.errors import DataError
from voxlex.files import atomic_folder, locked, sweep, workplace
from voxlex.locks import Held

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by signals")

HOLD = "import sys, time; from pathlib import Path; from voxlex.files import {name}\n"
HOLD += "with {call}:\n    print('held', flush=True); time.sleep(600)"


def holding(name: str, argument: Path, **options: str) -> subprocess.Popen[str]:
    """Start a process that enters a context of `voxlex.files` and stays in it."""
    program = HOLD.format(name=name, call=f"{name}(Path({str(argument)!r}), **{options})")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_lock_is_held_by_one_and_names_its_process(tmp_path: Path) -> None:
    other = holding("locked", tmp_path / "lock")
    with pytest.raises(Held, match=rf"another process \({other.pid}\)"), locked(tmp_path / "lock"):
        pytest.fail("both hold it")
    kill(other)
    assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock"):  # what a killed process left is no obstacle
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == []


def test_two_threads_of_one_process_do_not_hold_it_either(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(Held), locked(tmp_path / "lock"):
        pytest.fail("both hold it")


def test_a_folder_is_made_by_one_and_left_overs_of_a_kill_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "set"
    other = holding("atomic_folder", out, last="b")
    with (
        pytest.raises(DataError, match=rf"set: another process \({other.pid}\) is making this"),
        atomic_folder(out, last="b"),
    ):
        pytest.fail("both make it")
    kill(other)
    assert len(list(tmp_path.iterdir())) == 2  # what was being built, and its lock
    (tmp_path / ".notes.tmp").write_text("somebody's own")
    with atomic_folder(out, last="b") as building:
        (building / "a").write_text("a")
        sweep(tmp_path)  # as another process would
        assert (building / "a").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", "set"]


@pytest.mark.parametrize("name", ["atomic_file", "workplace"])
def test_only_what_nobody_builds_any_more_is_swept(tmp_path: Path, name: str) -> None:
    other = holding(name, tmp_path / "codes.parquet" if name == "atomic_file" else tmp_path)
    [building] = tmp_path.iterdir()
    sweep(tmp_path)
    assert building.exists()
    kill(other)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_workplace_in_a_folder_of_all_removes_only_its_own_kind(tmp_path: Path) -> None:
    (tmp_path / ".voxlex.0123abcd.tmp").mkdir()
    (tmp_path / ".others.0123abcd.tmp").write_text("")
    with workplace(tmp_path):
        assert not (tmp_path / ".voxlex.0123abcd.tmp").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".others.0123abcd.tmp"]


def test_without_locks_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with locked(tmp_path / "lock"), atomic_folder(tmp_path / "set", last="b") as building:
        (building / "a").write_text("a")
    (tmp_path / ".b.0123abcd.tmp").write_text("")  # nothing tells whether somebody writes it
    sweep(tmp_path)
    assert (tmp_path / ".b.0123abcd.tmp").exists()
    os.utime(tmp_path / ".b.0123abcd.tmp", (0, 0))
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
