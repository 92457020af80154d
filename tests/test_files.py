import errno
from pathlib import Path

import pytest

from voxlex.errors import DataError
from voxlex.files import atomic_file, atomic_folder


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


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_a_file_in_the_way_of_a_folder_is_one_clear_error(tmp_path: Path, atomic):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"inner: cannot be written: "), atomic(tmp_path / "taken" / "inner" / "inner"):
        pytest.fail("the block must not run with nowhere to write")


def test_folder_appears_whole(tmp_path: Path):
    target = tmp_path / "run"
    with atomic_folder(target) as building:
        (building / "a").write_text("a")
        assert not target.exists()
    assert (target / "a").read_text() == "a"


def test_folder_vanishes_on_failure(tmp_path: Path):
    def fail_halfway() -> None:
        with atomic_folder(tmp_path / "run") as building:
            (building / "a").write_text("a")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_folder_in_use_is_refused(tmp_path: Path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(DataError, match="exists already"), atomic_folder(tmp_path):
        pass
    assert (tmp_path / "a").read_text() == "a"
