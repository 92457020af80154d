"""`voxlex export`: what it writes, what it refuses, and what it leaves behind."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from hostile.command import check_refusal, run, snapshot
from voxlex import load
from voxlex.errors import DataError
from voxlex.export.graphs import Graph
from voxlex.run_folder import RunFolder
from voxlex.workflows.export import export

from .conftest import RUN, Exported

GOLDEN = Path(__file__).parent.parent / "golden"


def written(graph: Graph, path: Path, kind: str) -> None:
    """Stand for the writing of a graph, which would be traced with the checks of shapes."""
    path.write_text(graph.name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxlex.workflows.export.write_graph", written)


@pytest.mark.slow
def test_files_take_and_give_what_their_description_says(exported: Exported) -> None:
    about = json.loads((exported.folder / "export.json").read_text())
    assert sorted(about["graphs"]) == ["decoder.onnx", "encoder.onnx", "prior-step.onnx"]
    for file, graph in about["graphs"].items():
        session = onnxruntime.InferenceSession(exported.folder / file, providers=["CPUExecutionProvider"])
        for ports, described in ((session.get_inputs(), graph["inputs"]), (session.get_outputs(), graph["outputs"])):
            assert [(port.name, port.shape) for port in ports] == [(port["name"], port["shape"]) for port in described]
            types = [port["type"].replace("float32", "float") for port in described]
            assert [port.type for port in ports] == [f"tensor({kind})" for kind in types]


@pytest.mark.slow
def test_the_command_lists_its_files_which_name_no_folder_of_this_machine(exported: Exported) -> None:
    files = sorted(exported.folder.iterdir())
    assert sorted(line.split()[0] for line in exported.said) == [str(file) for file in files]
    for file in files:
        assert not any(
            word in file.read_bytes() for word in (str(GOLDEN.parent.parent).encode(), b"site-packages", b".py")
        )


@pytest.mark.slow
def test_the_python_of_the_docs_runs(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exported").symlink_to(exported.folder)
    monkeypatch.chdir(tmp_path)
    page = (GOLDEN.parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    told: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)), told)
    vocabulary = load(RUN)
    torch.testing.assert_close(
        torch.from_numpy(told["x_hat"]), vocabulary.reconstruct(told["images"]), rtol=0, atol=1e-3
    )
    drawn = torch.from_numpy(told["drawn"])
    (layout,) = vocabulary.layouts
    assert drawn.shape == (4, *layout.shape)
    assert len(drawn.unique(dim=0)) > 1


@pytest.mark.usefixtures("quick")
def test_of_a_run_without_a_prior_the_other_graphs_are_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(capfd, "export", GOLDEN / "lookup-free", "--out", tmp_path / "out").status == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["decoder.onnx", "encoder.onnx", "export.json"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("kind", "suffix"), [("onnx", ".onnx"), ("torch", ".pt2")])
def test_a_shipped_vocabulary_is_known_by_its_name(
    kind: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run(capfd, "export", "brain-mri-128", "--format", kind)
    assert said.status == 0
    names = ["encoder", "decoder", "decoder-textured", "prior-step"]
    files = [f"exported/brain-mri-128/{name}{suffix}" for name in names]
    assert [line.split()[0] for line in said.out.splitlines()] == [*files, "exported/brain-mri-128/export.json"]
    about = json.loads((tmp_path / "exported" / "brain-mri-128" / "export.json").read_text())
    assert about["name"] == "brain-mri-128"
    assert about["conditions"][0]["values"] == ["glioma", "meningioma", "notumor", "pituitary"]
    assert about["images"]["size"] == [128, 128]


@pytest.mark.usefixtures("quick")
def test_what_is_there_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    before = snapshot(tmp_path)
    said = run(capfd, "export", GOLDEN / "transformer", "--out", tmp_path / "out")
    check_refusal(said, names="out", says="exists already")
    assert snapshot(tmp_path) == before


def test_a_format_that_is_not_known_is_a_usage_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, "export", GOLDEN / "transformer", "--format", "tflite", "--out", tmp_path / "out")
    assert said.status == 2
    assert "onnx" in said.err
    assert "torch" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_the_packages_nothing_is_begun(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    said = run(capfd, "export", GOLDEN / "transformer", "--out", tmp_path / "out")
    check_refusal(said, names=package, says=r"pip install 'voxlex\[export\]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("No space left on device")])
def test_an_interruption_leaves_nothing(
    stop: type[BaseException] | BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(graph: Graph, path: Path, kind: str) -> None:
        if graph.name == "decoder":
            path.write_bytes(b"half")
            raise stop
        written(graph, path, kind)

    monkeypatch.setattr("voxlex.workflows.export.write_graph", stopping)
    with pytest.raises((KeyboardInterrupt, DataError)):
        export(load(GOLDEN / "transformer"), kind="torch", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def damaged(folder: Path) -> None:
    content = (folder / "autoencoder.safetensors").read_bytes()
    (folder / "autoencoder.safetensors").write_bytes(content[: len(content) // 2])


def untrained(folder: Path) -> None:
    RunFolder(folder).remove_stage("autoencoder")


@pytest.mark.parametrize("craft", [damaged, untrained])
def test_a_run_without_sound_weights_is_refused(
    craft: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(GOLDEN / "transformer", tmp_path / "run"))
    craft(folder)
    said = run(capfd, "export", folder, "--out", tmp_path / "out")
    check_refusal(said, names="autoencoder.safetensors")
    assert not (tmp_path / "out").exists()
