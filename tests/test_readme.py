"""Every command and every line of Python in the README, run as it stands there, on fewer and smaller images."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from voxlex.cli import main
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

pytestmark = pytest.mark.slow

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SMALL_PRIOR = ["--prior.width", "16", "--prior.layers", "2", "--training.prior.batch-size", "2"]
SMALLER = ["--size", "64", "--model.network.width", "16", "--training.autoencoder.batch-size", "2", *SMALL_PRIOR]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("voxlex ")]


def shortened(command: list[str]) -> list[str]:
    """Replace the budget by a few steps, and the networks by small ones; leave out the slowest way to make maps."""
    if command[0] == "anomaly":
        return [*command, "--method", "reconstruction"]
    if command[0] != "train":
        return command
    words = list(command)
    for option in ("--minutes", "--steps"):
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    return [*words, "--steps", "2", *(SMALL_PRIOR if "--stage" in command and "prior" in command else SMALLER)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans` in it, two classes of phantom slices."""
    root = tmp_path_factory.mktemp("readme")
    for label, seed in (("healthy", 1), ("tumour", 2)):
        paths = PhantomSource(PhantomOptions(subjects=3, slices=4)).write(
            root / "raw" / label, Frame(size=128), seed=seed
        )
        (root / "scans" / label).mkdir(parents=True)
        for number, path in enumerate(paths):
            shutil.move(path, root / "scans" / label / f"{number:02d}.png")
    mask = np.zeros((128, 128), np.uint8)
    mask[48:80, 48:80] = 255
    write_scan(root / "mask.png", Scan(voxels=mask))
    (volume,) = PhantomSource(PhantomOptions(subjects=1)).write(
        root / "raw" / "patient", Frame(size=32, spacing_mm=3.0)
    )
    shutil.move(volume, root / "patient.nii.gz")
    return root


def test_every_command(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    assert len(commands()) >= 12
    for command in commands():
        # A minute, until Ctrl-C, and without the checks of shapes: `test_silence.py` and `tests/export` run them.
        if command[0] not in ("demo", "explore", "export"):
            assert main(shortened(command)) == 0, command
    assert (workplace / "runs" / "mine" / "report.html").exists()


def test_every_line_of_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    if not (workplace / "runs" / "mine").exists():
        main(shortened(["train", "scans", "--out", "runs/mine"]))
    assert len(blocks("python")) >= 2
    for block in blocks("python"):
        exec(block, {})


def test_pictures_and_links_exist() -> None:
    root = Path(__file__).parent.parent
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (root / target).exists()]
    assert targets
    assert not missing


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
