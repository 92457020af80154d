"""Batches that are loaded ahead are those that would have been loaded in time."""

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from voxlex.training.batches import Batches
from voxlex.training.loader import Loader


class Elsewhere(Fabric):
    """Stands for Fabric with another device, to which tensors are sent as they are."""

    def __init__(self, device: str = "cuda") -> None:
        super().__init__(accelerator="cpu", devices=1)
        self.kind = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.kind

    def to_device(self, obj: Any) -> Any:
        return obj


def load(rows: Tensor, *, step: int) -> tuple[Tensor, dict[str, Tensor]]:
    return rows + 100 * step, {"twice": 2 * rows}


@pytest.fixture(autouse=True)
def memory_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)


def test_batches_are_the_same_ahead_or_not_and_from_any_step() -> None:
    batches = Batches(rows=10, batch_size=3, seed=0)
    with Loader(load, batches, fabric=Elsewhere(), ahead=True) as ahead:
        for step in (0, 1, 2, 7, 8, 3):
            found, wanted = ahead(step), load(batches[step], step=step)
            assert torch.equal(found[0], wanted[0])
            assert torch.equal(found[1]["twice"], wanted[1]["twice"])


@pytest.mark.parametrize(
    ("device", "ahead", "loaded"), [("cuda", True, [4, 5]), ("cuda", False, [4]), ("cpu", True, [4])]
)
def test_the_next_batch_is_loaded_on_a_gpu_that_does_not_have_it(device: str, ahead: bool, loaded: list[int]) -> None:
    steps: list[int] = []

    def noting(rows: Tensor, *, step: int) -> Tensor:
        steps.append(step)
        return rows

    with Loader(noting, Batches(rows=10, batch_size=3, seed=0), fabric=Elsewhere(device), ahead=ahead) as loader:
        loader(4)
    assert steps == loaded


def test_what_goes_wrong_while_loading_ahead_is_raised_in_its_step() -> None:
    def failing(rows: Tensor, *, step: int) -> Tensor:
        if step == 1:
            raise OSError("cut short")
        return rows

    with Loader(failing, Batches(rows=10, batch_size=3, seed=0), fabric=Elsewhere(), ahead=True) as loader:
        loader(0)
        with pytest.raises(OSError, match="cut short"):
            loader(1)
