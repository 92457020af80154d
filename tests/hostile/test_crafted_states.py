"""States of training that are damaged, or that somebody has crafted."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from hostile.command import run
from scans.pictures import picture
from voxlex.cli import main

STATES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda state: [1, 2],
    "nothing": lambda state: {},
    "no step": lambda state: {key: value for key, value in state.items() if key != "step"},
    "a step of text": lambda state: state | {"step": "7"},
    "a step below 0": lambda state: state | {"step": -7},
    "a time without end": lambda state: state | {"elapsed_s": float("inf")},
    "no randomness": lambda state: state | {"random": None},
    "short randomness": lambda state: state | {"random": {"cpu": torch.zeros(3, dtype=torch.uint8), "gpus": []}},
    "no players": lambda state: state | {"players": {}},
    "players of another kind": lambda state: state | {"players": [1]},
    "other players": lambda state: state | {"players": {"discriminator": {}}},
    "an empty player": lambda state: state | {"players": {"autoencoder": {}}},
    "the best of another kind": lambda state: state | {"best": 3},
    "the best of another module": lambda state: (
        state | {"best": {"value": 0.5, "step": 1, "weights": {"a": torch.zeros(2)}}}
    ),
}


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        Image.fromarray(picture(number)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "scans").mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(tmp_path / "scans" / path.name)
    assert begin() == 0
    return tmp_path / "run"


def begin() -> int:
    words = ["train", "scans", "--out", "run", "--steps", "2", "--size", "32", "--stage", "autoencoder"]
    words += ["--training.keep-state", "--model.network.width", "8", "--model.network.encoder-blocks", "1"]
    return main(words)


def resume(capfd: pytest.CaptureFixture[str]) -> Any:
    words = ["train", "scans", "--out", "run", "--steps", "3", "--size", "32", "--stage", "autoencoder", "--resume"]
    words += ["--model.network.width", "8", "--model.network.encoder-blocks", "1"]
    return run(capfd, *words)


def test_crafted_states_are_refused_in_one_line(unfinished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = unfinished / "autoencoder.state.pt"
    intact = path.read_bytes()
    state = torch.load(path, weights_only=True)
    module = state["players"]["autoencoder"]["module"]
    name = min(module)
    for says, change in STATES.items():
        torch.save(change(dict(state)), path)
        check_state(resume(capfd), says)
    other = module | {name: torch.zeros(3, 3)}
    torch.save(state | {"players": {"autoencoder": state["players"]["autoencoder"] | {"module": other}}}, path)
    check_state(resume(capfd), "weights of another shape")
    optimizer = state["players"]["autoencoder"]["optimizer"]
    averages = {key: value | {"exp_avg": torch.zeros(2)} for key, value in optimizer["state"].items()}
    players = {"autoencoder": {"module": module, "optimizer": optimizer | {"state": averages}}}
    torch.save(state | {"players": players}, path)
    check_state(resume(capfd), "averages of another shape")
    for damaged in (b"", b"nonsense", intact[:-1000], intact[: len(intact) // 2]):
        path.write_bytes(damaged)
        check_state(resume(capfd), "damaged")
    path.write_bytes(intact)
    assert resume(capfd).status == 0


def check_state(said: Any, case: str) -> None:
    assert said.status == 1, (case, said)
    line = said.err.strip().splitlines()[-1]
    assert re.match(r"voxlex: \S*autoencoder\.state\.pt: ", line), (case, said.err)
    assert "PyTorch" not in said.all
    assert "torch.load" not in said.all
