"""What may be written where: originals in every disguise, and what the program did not make."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.errors import DataError
from voxlex.outputs import (
    check_apart,
    check_file,
    check_files_differ,
    check_folder,
    is_own_file,
    is_prepared_set,
    is_run,
)
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

GOLDEN = Path(__file__).parent / "golden"
PACKAGE = Path(__file__).parent.parent / "src" / "voxlex"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(path)
    return path


def result(path: Path) -> Path:
    write_scan(path, Scan(voxels=np.eye(16, dtype=np.uint8)))
    return path


@pytest.mark.parametrize("suffix", [".png", ".nii.gz", ".nii"])
def test_results_are_known_by_their_header(tmp_path: Path, suffix: str) -> None:
    voxels, affine = (np.eye(16, dtype=np.uint8), None) if suffix == ".png" else (np.ones((4, 5, 6)), np.eye(4))
    write_scan(tmp_path / f"a{suffix}", Scan(voxels=voxels, affine=affine))
    assert is_own_file(tmp_path / f"a{suffix}")
    (tmp_path / f"b{suffix}").write_bytes(b"\x1f\x8b damaged")
    assert not is_own_file(tmp_path / f"b{suffix}")
    assert not is_own_file(picture(tmp_path / "c.png"))


def test_folders_of_version_0_1_0_are_known() -> None:
    assert is_run(GOLDEN / "unfinished")
    assert is_prepared_set(GOLDEN / "prepared")
    assert not is_run(GOLDEN / "prepared")
    assert not is_prepared_set(GOLDEN / "codes")


DISGUISES: dict[str, Callable[[Path, Path], Path]] = {
    "itself": lambda scan, _: scan.parent,
    "with dots": lambda scan, _: scan.parent / ".." / scan.parent.name,
    "a folder above": lambda scan, _: scan.parent.parent,
    "a link to it": lambda scan, out: linked(out, scan.parent),
    "a link in it": lambda scan, out: linked(out / "scan.png", scan).parent,
    "a hard link in it": lambda scan, out: hard_linked(out / "scan.png", scan).parent,
    "a folder in it that is a link": lambda scan, out: linked(out / "sub", scan.parent).parent,
}


def linked(link: Path, target: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return link


def hard_linked(link: Path, target: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    os.link(target, link)
    return link


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("make", [picture, result])  # results of an earlier call may be a source, too
def test_a_folder_of_originals_is_refused(tmp_path: Path, disguise: str, make: Callable[[Path], Path]) -> None:
    scan = make(tmp_path / "data" / "scans" / "01.png")
    out = DISGUISES[disguise](scan, tmp_path / "out")
    for read in (scan, linked(tmp_path / "elsewhere" / "link.png", scan)):
        with pytest.raises(DataError, match="holds the scans themselves"):
            check_folder(out, overwrite=True, reads=[read])
        with pytest.raises(DataError, match="holds the scans themselves"):
            check_apart(out, [read])


def test_a_folder_below_the_originals_is_free(tmp_path: Path) -> None:
    scan = picture(tmp_path / "scans" / "01.png")
    result(tmp_path / "scans" / "results" / "01.png")
    check_folder(tmp_path / "scans" / "results", overwrite=True, reads=[scan, scan.parent])
    check_folder(tmp_path / "scans" / "new", overwrite=False, reads=[scan, scan.parent])


def test_pictures_of_another_origin_are_not_replaced(tmp_path: Path) -> None:
    result(tmp_path / "sub" / "01.png")
    (tmp_path / "notes.txt").write_text("mine")
    check_folder(tmp_path, overwrite=True)
    with pytest.raises(DataError, match="expected an empty folder"):
        check_folder(tmp_path, overwrite=False)
    mine = picture(tmp_path / "sub" / "02.png")
    with pytest.raises(DataError, match=f"{mine}: is not marked as made by voxlex"):
        check_folder(tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["masked", "prepared"])
def test_results_do_not_go_into_a_run_or_a_prepared_set(name: str) -> None:
    with pytest.raises(DataError, match="is a run or a prepared data set"):
        check_folder(GOLDEN / name, overwrite=True)


def test_results_in_a_folder_with_the_name_of_a_file(tmp_path: Path):
    for name in ("new.png", "new.NII.gz", "new.tif"):
        with pytest.raises(DataError, match=rf"{name}: expected a folder for the results.*got a file name"):
            check_folder(tmp_path / name, overwrite=False)
    (tmp_path / "old.png").mkdir()
    check_folder(tmp_path / "old.png", overwrite=False)


def test_a_file_is_replaced_when_that_is_asked_for_unless_it_is_read(tmp_path: Path) -> None:
    old, read = tmp_path / "old.csv", tmp_path / "read.csv"
    check_file(old, overwrite=False, reads=[read])
    old.touch()
    read.touch()
    with pytest.raises(DataError, match="--overwrite"):
        check_file(old, overwrite=False)
    check_file(old, overwrite=True, reads=[read])
    for name in (read, linked(tmp_path / "link.csv", read), hard_linked(tmp_path / "hard.csv", read)):
        with pytest.raises(DataError, match="is what is read"):
            check_file(name, overwrite=True, reads=[read])
    with pytest.raises(DataError, match="--overwrite"):
        check_file(linked(tmp_path / "nowhere.csv", tmp_path / "gone"), overwrite=False)
    with pytest.raises(DataError, match="got a folder"):
        check_file(tmp_path, overwrite=True)
    with pytest.raises(DataError, match="a file for each"):
        check_files_differ(old, None, tmp_path / "x" / ".." / "old.csv")


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    scan = picture(tmp_path / "scan.png")
    (tmp_path / "old.JSON").write_text("{}")
    check_file(tmp_path / "old.JSON", overwrite=True, suffixes=(".json",))
    check_file(tmp_path / "new.txt", overwrite=True, suffixes=(".json",))
    with pytest.raises(DataError, match=r"scan\.png: is not a \.json file, and is not replaced by one"):
        check_file(scan, overwrite=True, suffixes=(".json",))


def test_files_are_removed_and_renamed_in_one_place_only() -> None:
    words = {"rmtree", "unlink", "rmdir", "rename", "renames", "removedirs"}
    found = []
    for file in PACKAGE.rglob("*.py"):
        if file == PACKAGE / "files.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            of_path = node.func.attr == "replace" and len(node.args) == 1 and not node.keywords  # not of a string
            if node.func.attr in words or of_path:
                found.append(f"{file.name}:{node.lineno} {node.func.attr}")
    assert found == []
