"""Divide the parameters of a module among the processes, so that each holds a part of them (FSDP).

Zhao et al., 2304.11277; torch's `fully_shard`. Gradients and the averages of the optimizer are divided in the same way.
The parameters of a block are put together when it computes, and forgotten afterwards.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from voxlex.priors.segments import TransformerBlock

_BLOCKS = (TransformerBlock,)
"""Modules whose parameters are put together on their own. All other parameters are put together for the whole step."""


class Sharded:
    """A module whose parameters are divided among the processes, with the precision of Fabric.

    It stands where Fabric would put a wrapped module.

    Args:
        module: The module, which is changed in place. Its parameters become new objects.
        fabric: The devices.
        methods: Methods of the module, other than `forward`, that compute losses.
    """

    def __init__(self, module: nn.Module, fabric: Fabric, *, methods: Iterable[str] = ()) -> None:
        fabric.to_device(module)
        mesh = init_device_mesh(fabric.device.type, (fabric.world_size,))
        for part in module.modules():
            if isinstance(part, _BLOCKS):
                fully_shard(part, mesh=mesh)
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        for method in methods:
            register_fsdp_forward_method(module, method)
        self.module = module
        self.fabric = fabric

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the module."""
        with self.fabric.autocast():
            return self.module(*args, **named)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the module, and its methods in the precision of Fabric."""
        found = getattr(self.module, name)
        if not callable(found) or name == "train":
            return found

        def in_precision(*args: Any, **named: Any) -> Any:
            with self.fabric.autocast():
                return found(*args, **named)

        return in_precision

    def add_up(self, more: bool) -> None:
        """Set whether gradients of this process alone are added up, because more of them follow before a step."""
        assert isinstance(self.module, FSDPModule)
        self.module.set_requires_gradient_sync(not more)


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(value: Any, *, keep: bool = True) -> Any:
    """Put together all divided tensors in nested dictionaries and lists. All processes must call it.

    Args:
        value: The tensors.
        keep: Whether to keep the tensors, on the CPU. Otherwise empty ones stand in their places.
    """

    def put_together(tensor: DTensor) -> Tensor:
        together = tensor.full_tensor().detach()
        return together.cpu() if keep else together.new_empty(0)

    return apply_to_collection(value, DTensor, put_together)


def as_whole(part: Tensor, *, like: Tensor) -> Tensor:
    """Put together a tensor of which each process has the part that it also has of another tensor."""
    if not isinstance(like, DTensor):
        return part
    mesh, placements = like.device_mesh, like.placements
    parts = DTensor.from_local(part, mesh, placements, run_check=False, shape=like.shape, stride=like.stride())
    return parts.full_tensor()


def divided(tensor: Tensor, *, like: Tensor) -> Tensor:
    """Divide a tensor, which is whole in each process, as another one is."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights that are whole in each process into a module whose parameters may be divided."""
    own = module.state_dict()
    module.load_state_dict(
        {name: divided(tensor, like=own[name]) if name in own else tensor for name, tensor in weights.items()}
    )


def norm_of_clipped(parameters: Iterable[Tensor], *, most: float) -> Tensor:
    """Clip divided gradients to a norm, and return their norm before."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, most, error_if_nonfinite=False)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
