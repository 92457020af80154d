"""A module that learns, on devices and in their precision."""

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from voxlex.training.player import Player


class Twice(nn.Linear):
    """Has a method besides `forward` that computes."""

    def twice(self, x: Tensor) -> Tensor:
        return 2 * self(x)


def test_methods_compute_in_the_precision_of_the_devices() -> None:
    for precision, expected in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        module = Twice(4, 3)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        player = Player(module, optimizer, gradient_clip=1.0, forward_methods=["twice"])
        assert player.compute("twice", torch.ones(2, 4)).dtype == torch.float32
        player.set_up(Fabric(accelerator="cpu", devices=1, precision=precision))
        assert player.compute("twice", torch.ones(2, 4)).dtype == expected
        assert module.weight.dtype == torch.float32
