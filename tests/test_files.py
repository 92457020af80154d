import errno
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from voxlex import files
from voxlex.errors import DataError
from voxlex.files import atomic_file, atomic_folder, made, move


def test_file_appears_only_when_the_block_ends(tmp_path: Path):
    target = tmp_path / "deep" / "codes.bin"
    with atomic_file(target) as building:
        building.write_bytes(b"all of it")
        assert not target.exists()
    assert target.read_bytes() == b"all of it"
    assert list(target.parent.iterdir()) == [target]


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path):
    target = tmp_path / "codes.bin"
    target.write_bytes(b"old")

    def fail_halfway() -> None:
        with atomic_file(target) as building:
            building.write_bytes(b"new, but only h")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_names_the_file_and_the_cause(tmp_path: Path):
    target = tmp_path / "codes.bin"
    with pytest.raises(DataError, match=r"codes\.bin: cannot be written: No space left on device"), atomic_file(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("atomic", [atomic_file, partial(atomic_folder, last="b")])
def test_a_file_in_the_way_of_a_folder_is_one_clear_error(tmp_path: Path, atomic):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"inner: cannot be written: "), atomic(tmp_path / "taken" / "inner" / "inner"):
        pytest.fail("the block must not run with nowhere to write")


def test_folder_appears_whole(tmp_path: Path):
    target = tmp_path / "run"
    with atomic_folder(target, last="b") as building:
        (building / "a").write_text("a")
        assert not target.exists()
    assert (target / "a").read_text() == "a"


def test_folder_vanishes_on_failure(tmp_path: Path):
    def fail_halfway() -> None:
        with atomic_folder(tmp_path / "above" / "run", last="b") as building:
            (building / "a").write_text("a")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_folders_takes_the_files(tmp_path: Path):
    (tmp_path / "sets" / "one").mkdir(parents=True)
    with atomic_folder(tmp_path / "sets", last="b") as building:
        (building / "a").write_text("a")
        (building / "b").write_text("b")
        assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["one"]
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["a", "b", "one"]
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]


def test_a_folder_in_the_way_of_a_file_leaves_nothing(tmp_path: Path):
    (tmp_path / "sets" / "b").mkdir(parents=True)
    with pytest.raises(DataError, match="sets/b: exists already"), atomic_folder(tmp_path / "sets", last="b") as new:
        [(new / name).write_text(name) for name in "ab"]
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["b"]


def test_folder_in_use_is_refused(tmp_path: Path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(DataError, match="exists already"), atomic_folder(tmp_path, last="b"):
        pass
    assert (tmp_path / "a").read_text() == "a"


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return a list that fills with what is synced and renamed, in order."""
    calls: list[tuple[str, str]] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        calls.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        calls.append(("rename", Path(target).name))
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    return calls


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files")
def test_content_reaches_the_disk_before_its_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(monkeypatch)
    with atomic_file(tmp_path / "state.pt") as building:
        building.write_bytes(b"all of it")
    assert calls == [("sync", building.name), ("rename", "state.pt"), ("sync", tmp_path.name)]
    calls.clear()
    with atomic_folder(tmp_path / "set", last="b") as building:
        (building / "images.npy").write_bytes(b"all of it")
    assert calls == [
        ("sync", "images.npy"),
        ("sync", building.name),
        ("rename", "set"),
        ("sync", tmp_path.name),
    ]
    calls.clear()
    move(tmp_path / "state.pt", tmp_path / "set" / "old.pt")
    assert calls == [("sync", "state.pt"), ("rename", "old.pt"), ("sync", "set"), ("sync", tmp_path.name)]
    calls.clear()
    with atomic_file(tmp_path / "0001.png", durable=False) as building:
        building.write_bytes(b"can be made again")
    assert calls == [("rename", "0001.png")]


def test_a_system_that_does_not_open_folders_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with atomic_file(tmp_path / "a") as building:
        building.write_text("a")
    assert (tmp_path / "a").read_text() == "a"


def test_names_as_long_as_names_can_be(tmp_path: Path) -> None:
    name = "é" * 127
    with atomic_file(tmp_path / name) as building:
        building.write_text("a")
    with atomic_folder(tmp_path / f"{name}x", last="b") as building:
        (building / "a").write_text("a")
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}x"}


def test_folders_made_in_vain_are_removed(tmp_path: Path) -> None:
    with made(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    with made(tmp_path / "c" / "d"):
        (tmp_path / "c" / "kept").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["c", "kept"]


def test_nothing_is_built_in_a_folder_while_another_thread_sweeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sweeping, swept = Event(), Event()

    def slow_sweep(folder: Path, *, name: str | None = None) -> None:
        sweeping.set()
        assert swept.wait(60)

    def write(name: str) -> None:
        with atomic_file(tmp_path / "new" / name) as building:
            building.write_text(name)

    monkeypatch.setattr(files, "sweep", slow_sweep)
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(write, "a")]
        assert sweeping.wait(60)
        writing.append(pool.submit(write, "b"))
        time.sleep(0.2)
        before = list((tmp_path / "new").iterdir())
        swept.set()
        for one in writing:
            one.result()
    assert before == []
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b"]
