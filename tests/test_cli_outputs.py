"""Every command that writes, and every way of naming what it reads: originals stay as they are."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.cli import main

RUN = Path(__file__).parent / "golden" / "masked"
Capture = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Pictures, some in a folder of their own, of which a table and links lie elsewhere."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "scans"
    (folder / "more").mkdir(parents=True)
    for name in ("01.png", "02.png", "more/03.png", "more/04.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / name)
    (tmp_path / "tables").mkdir()
    lines = [str(path) for path in sorted(folder.rglob("*.png"))]
    (tmp_path / "tables" / "t.csv").write_text("\n".join(["path", *lines, ""]))
    (tmp_path / "link").symlink_to(folder)
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "a folder": lambda scans: scans,
    "a table elsewhere": lambda scans: scans.parent.parent / "tables" / "t.csv",
    "a single scan": lambda scans: scans / "01.png",
    "a subfolder": lambda scans: scans / "more",
    "a link": lambda scans: scans.parent.parent / "link",
    "a relative path": lambda scans: Path(os.path.relpath(scans)),
    "a folder above": lambda scans: scans.parent,
}


def refused(capsys: Capture, *words: str | Path) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    said = "\n".join(line for line in lines if ": subjects: " not in line)  # what is said of the data is no refusal
    assert said.startswith("voxlex: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("command", ["reconstruct", "train"])
def test_folders_of_scans_are_refused(scans: Path, source: str, command: str, capsys: Capture) -> None:
    place, before = SOURCES[source](scans), contents(scans.parent.parent)
    words = ["reconstruct", RUN, place] if command == "reconstruct" else ["train", place, "--steps", "1"]
    for out in (scans, scans.parent, scans.parent.parent / "link"):
        refused(capsys, *words, "--out", out, "--overwrite")
    assert contents(scans.parent.parent) == before


def test_a_run_in_whose_folder_the_scans_lie_is_not_replaced(scans: Path, capsys: Capture) -> None:
    for file in RUN.iterdir():
        shutil.copy(file, scans.parent)
    before = contents(scans.parent)
    for source in SOURCES.values():
        said = refused(capsys, "train", source(scans), "--out", scans.parent, "--overwrite", "--steps", "1")
        assert "holds the scans themselves" in said
    assert contents(scans.parent) == before


def test_results_replace_results_only(scans: Path, tmp_path: Path, capsys: Capture) -> None:
    encode = ["encode", RUN, scans, "--out", tmp_path / "codes.parquet"]
    assert main([str(word) for word in encode]) == 0
    out = tmp_path / "out"
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(tmp_path / "mask.png")
    commands = (
        ["decode", RUN, tmp_path / "codes.parquet"],
        ["reconstruct", RUN, scans],
        ["sample", RUN, "--count", "1"],
        ["inpaint", RUN, scans / "01.png", "--mask", tmp_path / "mask.png", "--count", "1"],
        ["phantom", "--size", "16", "--phantom.subjects", "1", "--phantom.slices", "1"],
    )
    for command in commands:  # each beside the results of those before it
        assert main([str(word) for word in (*command, "--out", out, "--overwrite")]) == 0
        assert main([str(word) for word in (*command, "--out", out, "--overwrite")]) == 0
    before = contents(scans)
    for command in commands:
        assert "which results would replace" in (said := refused(capsys, *command, "--out", scans, "--overwrite")) or (
            "is not marked as made by voxlex" in said
        )
        assert "is a run" in refused(capsys, *command, "--out", RUN, "--overwrite")
    assert contents(scans) == before


@pytest.mark.parametrize(
    ("command", "option", "suffix"),
    [
        (["encode", RUN], "--out", ".parquet"),
        (["evaluate", RUN, "--split", "all", "--samples", "0"], "--json", ".json"),
        (["data", "audit"], "--json", ".json"),
        (["data", "audit"], "--out", ".html"),
        (["data", "index"], "--out", ".csv"),
    ],
)
def test_a_file_is_replaced_only_when_that_is_asked_for(
    scans: Path, tmp_path: Path, command: list[str | Path], option: str, suffix: str, capsys: Capture
) -> None:
    mine = tmp_path / f"mine{suffix}"
    mine.write_text("mine")
    words = [*command[:2], scans, *command[2:], option]
    assert "--overwrite" in refused(capsys, *words, mine)
    assert mine.read_text() == "mine"
    assert main([str(word) for word in (*words, mine, "--overwrite")]) == 0
    assert mine.read_bytes() != b"mine"


def test_files_that_are_read_are_not_replaced(scans: Path, tmp_path: Path, capsys: Capture) -> None:
    table, before = tmp_path / "tables" / "t.csv", contents(tmp_path)
    (tmp_path / "run").symlink_to(RUN)
    own = (RUN / "metadata.json").read_bytes()
    for source in (table, scans, scans / "01.png"):
        for words in (
            ["evaluate", tmp_path / "run", source, "--split", "all", "--json"],
            ["data", "audit", source, "--out"],
            ["data", "audit", source, "--json"],
        ):
            assert "is what is read" in refused(capsys, *words, scans / "01.png", "--overwrite")
    assert "is what is read" in refused(capsys, "data", "index", table, "--out", table, "--overwrite")
    more = ["data", "index", scans, "--table", table, "--out", table, "--overwrite"]
    assert "is what is read" in refused(capsys, *more)
    assert "is what is read" in refused(
        capsys, "evaluate", tmp_path / "run", scans, "--json", RUN / "metadata.json", "--overwrite"
    )
    twice = ["data", "audit", scans, "--out", tmp_path / "a", "--json", tmp_path / "a"]
    assert "a file for each" in refused(capsys, *twice)
    assert contents(tmp_path) == before
    assert (RUN / "metadata.json").read_bytes() == own


def test_label_maps_are_not_replaced(tmp_path: Path, capsys: Capture) -> None:
    assert main(["phantom", "--volumes", "--size", "16", "--phantom.subjects", "1", "--out", str(tmp_path / "l")]) == 0
    before = contents(tmp_path)
    said = refused(capsys, "phantom", "--labels", tmp_path / "l", "--out", tmp_path / "l", "--overwrite")
    assert "holds the scans themselves" in said
    assert contents(tmp_path) == before


def test_a_prepared_set_is_not_replaced(scans: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(RUN.parent / "prepared", tmp_path / "ready")
    before = contents(tmp_path / "ready")
    assert "exists already" in refused(capsys, "prepare", scans, "--out", tmp_path / "ready")
    assert "exists already" in refused(capsys, "prepare", scans, "--out", scans)
    for words in (["reconstruct", RUN, tmp_path / "ready"], ["train", tmp_path / "ready", "--steps", "1"]):
        refused(capsys, *words, "--out", tmp_path / "ready", "--overwrite")
    assert contents(tmp_path / "ready") == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--training.autoencoder.batch-size", "500"], "expected at most 24, as there are 24 images, got 500"),
        (["--training.autoencoder.patch-size", "512"], "patch_size"),
        (["--training.prior-share", "2"], "prior_share"),
        (["--prior.condition-columns", "age"], "condition_columns"),
    ],
)
def test_a_training_that_is_refused_leaves_the_run_as_it_was(
    scans: Path, tmp_path: Path, options: list[str], said: str, capsys: Capture
) -> None:
    shutil.copytree(RUN, tmp_path / "disk")
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    before = contents(tmp_path / "disk")
    rng = np.random.default_rng(1)
    for number in range(20):  # enough to divide
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(scans / f"more-{number}.png")
    train = ["train", scans, "--out", tmp_path / "run", "--overwrite", "--size", "32", "--steps", "1", *options]
    assert said in refused(capsys, *train)
    assert contents(tmp_path / "disk") == before
