"""Communication between the processes of a distributed run, so that all of them end with the same codebook.

Each call checks whether other processes exist, because a module may be built before the processes are connected.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed


def count() -> int:
    """Return the number of processes, which is 1 outside a distributed run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def total(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, without a gradient."""
    if count() == 1:
        return tensor
    summed = tensor.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(summed)
    return summed


def mean(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the mean of a tensor over all processes, with gradients.

    Every process computes the same loss from this mean, and `DistributedDataParallel` averages the gradients of the
    processes. So the gradient passes unchanged, and the averaged gradient equals that of one process on all the data.
    """
    return tensor if count() == 1 else _Mean.apply(tensor)


def first(tensor: Tensor) -> Tensor:
    """Return the tensor of the first process in all processes, without a gradient."""
    if count() == 1:
        return tensor
    received = tensor.detach().clone(memory_format=torch.contiguous_format)
    distributed.broadcast(received, src=0)
    return received


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes in order, without a gradient. Processes may hold different numbers of rows."""
    if count() == 1:
        return rows
    sizes = [rows.new_zeros(1, dtype=torch.int64) for _ in range(count())]
    distributed.all_gather(sizes, rows.new_tensor([len(rows)], dtype=torch.int64))
    longest = max(int(size) for size in sizes)
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    received = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(received, padded)
    return torch.cat([part[: int(size)] for part, size in zip(received, sizes, strict=True)])


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return total(tensor) / count()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]
