"""What counts as a scan below a folder: regular files of the user, not what the program has put there."""

import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.errors import DataError
from voxlex.outputs import mark_results
from voxlex.scans.listing import find_scans, list_scans
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

GOLDEN = Path(__file__).parent.parent / "golden"


def theirs(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(path)


def ours(path: Path) -> None:
    volume = Scan(voxels=np.ones((4, 5, 6)), affine=np.eye(4))
    write_scan(path, Scan(voxels=np.eye(16, dtype=np.uint8)) if path.suffix == ".png" else volume)


def test_own_results_are_passed_over_below_the_source(tmp_path: Path) -> None:
    theirs(tmp_path / "a.png")
    shutil.copytree(GOLDEN / "masked", tmp_path / "runs" / "a")
    theirs(tmp_path / "runs" / "a" / "samples.png")  # as version 0.1 wrote it, without a mark in its header
    shutil.copytree(GOLDEN / "prepared", tmp_path / "prepared")
    for name in ("out/1.png", "out/sub/2.nii.gz", "older/reconstructions.png", "older/sub/3.png"):
        ours(tmp_path / name)
    mark_results(tmp_path / "out")
    theirs(tmp_path / "out" / "mine.png")
    theirs(tmp_path / "runs" / "a" / "mine.png")
    listing = list_scans(tmp_path)
    assert listing.scans == ["a.png", "out/mine.png", "runs/a/mine.png"]
    (note,) = listing.notes
    assert note.startswith("passed over 6 files that voxlex made itself, in older, older/sub, out and 3 more")


def test_results_are_scans_where_the_user_says_so(tmp_path: Path) -> None:
    for name in ("out/1.png", "out/sub/2.nii.gz", "out/samples.png", "copied/1.png", "phantom/1.png"):
        ours(tmp_path / name)
    mark_results(tmp_path / "out")
    assert find_scans(tmp_path / "out") == ["1.png", "samples.png", "sub/2.nii.gz"]
    assert find_scans(tmp_path) == ["copied/1.png", "phantom/1.png"]


def test_foreign_descriptions_make_no_folder_ours(tmp_path: Path) -> None:
    for name in ("metadata.json", "prepared.json"):
        theirs(tmp_path / "x" / "samples.png")
        (tmp_path / "x" / name).write_text("[]")
    np.save(tmp_path / "x" / "images.npy", np.ones((4, 5, 6)))
    assert find_scans(tmp_path) == ["x/images.npy", "x/samples.png"]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.parent / "hidden")
    path.symlink_to(path.parent / "hidden")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("make", [pipe, device, link_to_a_pipe, listening])
@pytest.mark.parametrize("name", ["a.jpg", "a.dcm", "a.npy", "a.mha", "a.nii.gz"])
def test_what_is_not_a_regular_file_is_passed_over(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    theirs(tmp_path / "b.png")
    make(tmp_path / name)
    listing = list_scans(tmp_path)
    assert listing.scans == ["b.png"]
    assert listing.notes[0].startswith(f"passed over 1 that are not regular files: {name} (a ")


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    scandir = os.scandir

    def failing(folder: str) -> object:
        if Path(folder).name == name:
            raise OSError(number, os.strerror(number), folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", failing)


def test_a_folder_that_may_not_be_listed_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs(tmp_path / "b.png")
    theirs(tmp_path / "closed" / "a.png")
    fail_at(monkeypatch, "closed", errno.EACCES)
    assert list_scans(tmp_path) == (
        ["b.png"],
        ["passed over 1 folders that cannot be listed: closed (Permission denied)"],
    )
    with pytest.raises(DataError, match="closed: cannot be listed: Permission denied"):
        find_scans(tmp_path / "closed")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_trouble_of_the_machine_ends_the_walk(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs(tmp_path / "b.png")
    theirs(tmp_path / "sub" / "a.png")
    fail_at(monkeypatch, "sub", number)
    with pytest.raises(DataError, match="sub: cannot be listed: "):
        find_scans(tmp_path)
