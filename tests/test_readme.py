"""Every command and every line of Python in the README, run as it stands there, on fewer and smaller images."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from documented import REPOSITORY, blocks, commands, shortened
from voxlex.cli import main
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

pytestmark = pytest.mark.slow

README = "README.md"


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
    assert len(commands(README)) >= 12
    for command in commands(README):
        # A minute, until Ctrl-C, and without the checks of shapes: `test_silence.py` and `tests/export` run them.
        if command[0] not in ("demo", "explore", "export"):
            assert main(shortened(command)) == 0, command
    assert (workplace / "runs" / "mine" / "report.html").exists()


def test_every_line_of_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    if not (workplace / "runs" / "mine").exists():
        main(shortened(["train", "scans", "--out", "runs/mine"]))
    assert len(blocks(README, "python")) >= 2
    for block in blocks(README, "python"):
        exec(block, {})


def test_pictures_and_links_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (REPOSITORY / README).read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (REPOSITORY / target).exists()]
    assert targets
    assert not missing


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks(README, "sh")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
