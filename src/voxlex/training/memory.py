"""Estimate the memory of a training step of the autoencoder, by a measurement with one small image."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from voxlex.models import Autoencoder

_CELLS = 4  # side of the small image, in cells of the code grid
BYTES_PER_WEIGHT = 16
"""Of a weight in training, float32: the weight itself, its gradient, and AdamW's two running averages."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container on Linux


@dataclass(frozen=True)
class StepMemory:
    """Estimated peak of one training step, in bytes.

    Attributes:
        weights: Weights, gradients and the running averages of the optimizer.
        activations: Activations that are kept for the backward pass, and the largest gradients of the backward pass.
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        """Total number of bytes, without the memory that PyTorch itself needs."""
        return self.weights + self.activations


def estimate_step_memory(
    autoencoder: Autoencoder, *, space: Sequence[int], batch_size: int, autocast: torch.dtype | None = None
) -> StepMemory:
    """Estimate the memory of a training step.

    The function encodes and decodes one small image, and counts the bytes that the networks keep for the backward pass.
    For convolutions, this number is proportional to the size of the image. Networks between levels, which work on
    coarse grids, are left out.

    Args:
        autoencoder: The model, on the CPU. It is not changed.
        space: Size of the images or patches along each axis.
        batch_size: Number of images or patches in a step.
        autocast: Type of the reduced-precision arithmetic; None for float32.
    """
    dims = autoencoder.spatial_dims
    side = _CELLS * autoencoder.downsampling
    x = torch.zeros(1, autoencoder.in_channels, *[side] * dims)
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        _, encoder = _kept(autoencoder.encoder, x)
        z_q = torch.zeros(1, autoencoder.latent_dim, *[_CELLS] * dims, requires_grad=True)
        _, decoder = _kept(autoencoder.decoder, z_q)
    at_loss = 4 * x.nbytes  # image, reconstruction, their difference, and its gradient
    kept = max(encoder.total, decoder.total) if autoencoder.checkpoint_activations else encoder.total + decoder.total
    scale = batch_size * prod(space) / side**dims
    weights = sum(parameter.numel() for parameter in autoencoder.parameters()) * BYTES_PER_WEIGHT
    activations = kept + 2 * max(encoder.largest, decoder.largest) + at_loss
    return StepMemory(weights=weights, activations=round(activations * scale))


def memory_of(device: torch.device) -> int | None:
    """Return the number of bytes that a device has in all; None if it does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows does not say it in this way
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _LIMITS:
        with suppress(ValueError, OSError):
            found.append(int(Path(limit).read_text()))
    return min(found, default=None)


@dataclass
class _Kept:
    total: int = 0
    largest: int = 0


def _kept(network: nn.Module, x: Tensor) -> tuple[Tensor, _Kept]:
    """Apply a network, and count the bytes that it keeps for the backward pass, without its weights."""
    kept = _Kept()
    seen = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    alive = []  # keeps tensors alive, so that no address is used twice
    # Reduced precision keeps a copy of each kernel, which does not grow with the image.
    shapes = {parameter.shape for parameter in network.parameters()}

    def count(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in seen and tensor.shape not in shapes:
            seen.add(address)
            alive.append(tensor)
            kept.total += tensor.untyped_storage().nbytes()
            kept.largest = max(kept.largest, tensor.untyped_storage().nbytes())
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        return network(x), kept
