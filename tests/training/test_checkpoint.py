from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from voxlex.errors import RunError
from voxlex.models.weights import load_weights, save_weights
from voxlex.training.checkpoint import load_state, random_state, save_state, set_random_state


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    before, after = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    before.weight.data = before.weight.data.contiguous(memory_format=torch.channels_last)
    save_weights(tmp_path / "w.safetensors", before, about={"stage": "test"})
    load_weights(tmp_path / "w.safetensors", after)
    assert torch.equal(before.weight, after.weight)
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"", lambda b: b"\xff" * 100, lambda b: b[:20]])
def test_damaged_weights_are_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, nn.Linear(2, 2), about={})
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(RunError, match=r"w\.safetensors: cannot be read as weights"):
        load_weights(path, nn.Linear(2, 2))


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, nn.Linear(2, 2), about={})
    with pytest.raises(RunError, match=r"weight: expected \(2, 3\), got \(2, 2\)"):
        load_weights(path, nn.Linear(3, 2))
    with pytest.raises(RunError, match="no such file"):
        load_weights(tmp_path / "none.safetensors", nn.Linear(2, 2))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code was run",)


def test_state_never_runs_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"evil": Evil()}, tmp_path / "state.pt")
    with pytest.raises(RunError, match=r"state\.pt"):
        load_state(tmp_path / "state.pt")
    assert "code was run" not in capsys.readouterr().out


def test_state_and_randomness_survive_a_round_trip(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"random": random_state(), "step": 3, "elapsed_s": 0.5})
    expected = torch.rand(4)
    state = load_state(tmp_path / "state.pt")
    set_random_state(state["random"])
    assert state["step"] == 3
    assert torch.equal(torch.rand(4), expected)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"state\.pt: cannot resume"):
        load_state(tmp_path / "state.pt")


def test_every_changed_byte_of_weights_is_found(tmp_path: Path) -> None:
    path, module = tmp_path / "w.safetensors", nn.Linear(3, 2)
    save_weights(path, module, about={"stage": "test"})
    whole = path.read_bytes()
    key = whole.index(b"blake2b")
    for place in range(len(whole)):
        if key <= place < key + len("blake2b"):  # without its name, the fingerprint is not looked for
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunError, match=r"w\.safetensors"):
            load_weights(path, nn.Linear(3, 2))


def test_weights_without_a_fingerprint_load(tmp_path: Path) -> None:
    module, loaded = nn.Linear(3, 2), nn.Linear(3, 2)
    save_file(dict(module.state_dict()), tmp_path / "w.safetensors", metadata={"voxlex": "0.1.0"})
    load_weights(tmp_path / "w.safetensors", loaded)
    assert torch.equal(loaded.weight, module.weight)


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    facts = {name: name for name in ("voxlex", "stage", "a", "b", "c")}
    for number in range(8):
        save_weights(tmp_path / f"{number}", module, about=facts)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
