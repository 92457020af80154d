"""Hostile and odd inputs through every command that takes a source.

Three things count: right values or a clear refusal that names file and cause, the exit status, and that nothing is
written or changed elsewhere.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hostile.command import Said, below, check_refusal, run, snapshot
from hostile.inputs import BROKEN, NAMES, NEEDS_A_WORD, ODD, Input
from scans.pictures import picture
from voxlex.commands import COMMANDS

GOLDEN = Path(__file__).parent.parent / "golden"

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the files of Unix"),
    pytest.mark.slow,
]

VERBS: dict[str, list[str]] = {
    "prepare": ["prepare", "SOURCE", "--out", "out", "--size", "32"],
    "audit": ["data", "audit", "SOURCE", "--out", "out.html"],
    "encode": ["encode", "run", "SOURCE", "--out", "out.parquet"],
    "reconstruct": ["reconstruct", "run", "SOURCE", "--out", "out"],
    "evaluate": ["evaluate", "run", "SOURCE", "--split", "all", "--json", "out.json"],
    "inpaint": ["inpaint", "run", "SOURCE", "--mask", "mask.png", "--count", "1", "--out", "out"],
    "train": ["train", "SOURCE", "--out", "out", "--steps", "1", "--size", "32", "--stage", "autoencoder"],
    "check": ["check", "SOURCE"],
}
KINDS = (
    "empty.nii.gz",
    "html.png",
    "lfs.dcm",
    "half.nrrd",
    "start.npz",
    "pipe.jpg",
    "pipe.mha",
    "device.nii.gz",
    "loop.png",
    "claims 30000³",
    "mhd elsewhere",
    "report",
    "prepared set of nothing",
    "table without paths",
    "folder of nothing",
)
"""Broken inputs of each kind, which go through every command; the others go through one."""

KNOWN = [verb for verb in VERBS if verb in COMMANDS or f"data {verb}" in COMMANDS]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty `source`, a neighbour that must not be read, a run and a mask; commands run in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "neighbour").mkdir()
    secret = np.random.default_rng(7).integers(0, 900, 16 * 18 * 12).astype("<i2")
    (tmp_path / "neighbour" / "secret.raw").write_bytes(secret.tobytes())
    Image.fromarray(picture(9)).save(tmp_path / "neighbour" / "secret.png")
    mask = np.zeros(picture(0).shape, np.uint8)
    mask[10:20, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    shutil.copytree(GOLDEN / "transformer", tmp_path / "run")
    return tmp_path


def cases(group: str, inputs: dict[str, Input], verbs: list[str]) -> list[object]:
    """Return a parameter for each input and each command."""
    return [
        pytest.param(given, verb, id=f"{group}: {name}: {verb}") for name, given in inputs.items() for verb in verbs
    ]


def told(capfd: pytest.CaptureFixture[str], verb: str, source: Path, place: Path) -> Said:
    """Run a command on a source, and check that it changes nothing but its output."""
    before = snapshot(place / "source", place / "neighbour", place / "run", place / "mask.png")
    words = [str(source) if word == "SOURCE" else word for word in VERBS[verb]]
    said = run(capfd, *words)
    assert snapshot(place / "source", place / "neighbour", place / "run", place / "mask.png") == before
    strange = {path.name for path in place.iterdir()} - {"source", "neighbour", "run", "mask.png"}
    assert strange <= {"out", "out.html", "out.json", "out.parquet"}
    assert not (said.status and strange), "a command that failed has left something"
    return said


ALONE = [
    case
    for name, given in BROKEN.items()
    for case in cases("broken", {name: given}, KNOWN if name in KINDS else ["prepare"])
]


@pytest.mark.parametrize(("given", "verb"), ALONE)
def test_what_is_broken_is_refused_by_name(
    given: Input, verb: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = given.build(place / "source")
    said = told(capfd, verb, source, place)
    if verb == "audit" and said.status == 0:  # an audit may list what it finds instead
        assert (given.names or source.name) in said.all + (place / "out.html").read_text()
        return
    if verb == "inpaint" and given.volume:
        check_refusal(said, names=given.names or source.name)
        return
    check_refusal(said, names=given.names or source.name, says=given.says)


@pytest.mark.parametrize(("given", "verb"), cases("word", NEEDS_A_WORD, ["prepare", "audit", "encode"]))
def test_what_leaves_a_choice_is_refused_with_the_option(
    given: Input, verb: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = given.build(place / "source")
    said = told(capfd, verb, source, place)
    if verb == "audit" and said.status == 0:
        return
    check_refusal(said, names=given.names or source.name, says=given.says)


@pytest.mark.parametrize(("given", "verb"), cases("odd", ODD, ["reconstruct"]))
def test_what_is_odd_is_used(given: Input, verb: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = told(capfd, verb, given.build(place / "source"), place)
    assert said.status == 0, said
    assert below(place / "out")


SINGLE_FILES = {
    name: given for name, given in BROKEN.items() if not name.startswith(("prepared", "table", "empty table", "folder"))
}
"""Those among other scans. A table is a source only by itself."""


@pytest.mark.parametrize(("given", "verb"), cases("among", SINGLE_FILES, ["prepare"]))
def test_what_is_broken_is_skipped_among_others(
    given: Input, verb: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = given.build(place / "source")
    for number in range(12):
        Image.fromarray(picture(number)).save(place / "source" / f"good{number:02}.png")
    said = told(capfd, verb, place / "source", place)
    assert said.status == 0, said
    assert "12 images" in said.out, said
    if source.is_file() and given is not BROKEN["report"]:  # what holds no image by design is no trouble to report
        assert source.name in said.all, said


@pytest.mark.parametrize(("given", "verb"), cases("names", NAMES, ["prepare", "reconstruct", "audit"]))
def test_odd_names_are_used_among_others(
    given: Input, verb: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given.build(place / "source")
    for number in range(1, 13):
        Image.fromarray(picture(number)).save(place / "source" / f"good{number:02}.png")
    said = told(capfd, verb, place / "source", place)
    assert said.status == 0, said
    if verb == "prepare":
        assert "13 images" in said.out, said
    if verb == "reconstruct":
        assert len([name for name in below(place / "out") if name.endswith(".png")]) >= 13


def test_an_empty_source_is_not_the_current_folder(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, "prepare", "", "--out", "out")
    assert said.status in (1, 2)
    assert not (place / "out").exists()
