"""Workflows return and commands speak: whatever is printed while a command runs, a command prints."""

import ast
import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets.vqvae import VQVAE

import voxlex
from voxlex.cli import main
from voxlex.commands import COMMANDS
from voxlex.config import Config, load_recipe
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

PACKAGE = Path(voxlex.__file__).parent
WORKFLOWS = sorted(file.stem for file in (PACKAGE / "workflows").glob("*.py"))

SMALL = ["--size", "32", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32", "--prior.width", "16"]
SMALL += ["--prior.layers", "1", "--training.autoencoder.batch-size", "4", "--training.prior.batch-size", "4"]
SMALL += ["--steps", "1"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_imports_no_terminal_and_prints_nothing(name: str) -> None:
    tree = ast.parse((PACKAGE / "workflows" / f"{name}.py").read_text(encoding="utf-8"))
    imported, called = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
    assert "rich" not in imported
    assert "print" not in called


def test_importing_workflows_and_choosing_devices_prints_nothing() -> None:
    code = "".join(f"import voxlex.workflows.{name}\n" for name in WORKFLOWS if name != "__init__")
    code += "from voxlex.training.devices import choose_devices\n"
    code += "".join(f"choose_devices(precision={precision!r})\n" for precision in ("32-true", "bf16-mixed"))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


class Listener(io.StringIO):
    """A stream that notes which file of the package each line comes from, the last one on the way to it."""

    def __init__(self) -> None:
        super().__init__()
        self.speakers: set[str] = set()

    def write(self, text: str) -> int:
        frame = sys._getframe(1)
        while frame.f_back and not frame.f_code.co_filename.startswith(str(PACKAGE)):
            frame = frame.f_back
        if text.strip():
            self.speakers.add(Path(frame.f_code.co_filename).relative_to(PACKAGE).parts[0])
        return super().write(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, the same beside a broken one, a mask, a run, codes, an archive and a checkpoint of MONAI."""
    root = tmp_path_factory.mktemp("place")
    PhantomSource(PhantomOptions(subjects=6, slices=3)).write(root / "scans", Frame(size=32))
    shutil.copytree(root / "scans", root / "worse")
    (root / "worse" / "broken.png").write_bytes(b"")
    write_scan(root / "mask.png", Scan(voxels=np.eye(32, dtype=np.uint8)))
    paths = sorted(path.relative_to(root).as_posix() for path in (root / "scans").rglob("*.png"))
    lines = [f"{path},{path.split('/')[1]},{'ab'[number % 2]}" for number, path in enumerate(paths)]
    (root / "parts.csv").write_text("\n".join(["path,subject,side", *lines]) + "\n")
    assert main(["train", str(root / "scans"), "--out", str(root / "run"), *SMALL]) == 0
    assert main(["encode", str(root / "run"), str(root / "scans"), "--out", str(root / "codes.parquet")]) == 0
    assert main(["pack", str(root / "run"), str(root / "scans"), "--out", str(root / "scans.vxl")]) == 0
    convolution = {"downsample_parameters": (2, 4, 1, 1), "upsample_parameters": (2, 4, 1, 1, 0)}
    theirs = VQVAE(2, 1, 1, channels=(4,), num_res_layers=1, num_res_channels=4, **convolution)
    torch.save(theirs.state_dict(), root / "vqvae.pt")
    return root


CALLS = {
    "train": ["scans", "--out", "new", *SMALL],
    "check": ["scans", "--out", "newer", *SMALL],
    "info": ["run"],
    "explore": ["run", "scans", "--no-browser", "--port", "0"],
    "evaluate": ["run", "worse", "--split", "all"],
    "reconstruct": ["run", "scans", "--inputs"],
    "encode": ["run", "scans"],
    "decode": ["run", "codes.parquet"],
    "convert": ["vqvae.pt", "--size", "32"],
    "export": ["run", "--format", "torch"],
    "pack": ["run", "worse", "--out", "worse.vxl"],
    "unpack": ["scans.vxl", "--run", "run"],
    "list": ["scans.vxl"],
    "verify": ["scans.vxl", "--run", "run"],
    "sample": ["run", "--count", "2"],
    "push": ["run", "someone/heads"],
    "inpaint": ["run", "scans/sub-001/slice-01.png", "--mask", "mask.png", "--count", "2"],
    "anomaly": ["run", "scans"],
    "similar": ["run", "scans/sub-001/slice-01.png", "--codes", "codes.parquet", "--count", "2"],
    "probe": ["run", "parts.csv", "--target", "side"],
    "prepare": ["worse", "--out", "prepared", "--size", "32"],
    "phantom": ["--out", "heads", "--volumes", "--size", "16", "--phantom.subjects", "2"],
    "data index": ["scans", "--out", "scans.csv"],
    "data audit": ["worse", "--out", "audit.html"],
    "data fetch": [],
    "data cache": [],
    "demo": ["--minutes", "0.01"],
}


def small_demo(name: str) -> Config:
    """Return the recipe of the demo for few pseudo-subjects, with small images and small networks."""
    recipe = load_recipe(name)
    data = replace(recipe.data, size=32, phantom=replace(recipe.data.phantom, subjects=16))
    model = replace(recipe.model, network=replace(recipe.model.network, width=16))
    return replace(recipe, data=data, model=model, prior=replace(recipe.prior, width=16, layers=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_only_commands_speak(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("voxlex.commands.demo.load_recipe", small_demo)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    monkeypatch.setattr("voxlex.hub.pushed", lambda *arguments, **options: "0" * 40)
    # The checks of shapes, which tests put on every function, cannot be traced.
    monkeypatch.setattr("voxlex.workflows.export.write_graph", lambda graph, path, kind: path.touch())
    stream = Listener()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    assert main([*name.split(), *CALLS[name]]) == 0, stream.getvalue()
    assert stream.getvalue()  # a command says at least where its results are
    assert stream.speakers <= {"commands", "cli.py"}
