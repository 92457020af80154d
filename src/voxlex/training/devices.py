"""Choose the devices and the precision of training."""

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from voxlex.errors import ConfigError
from voxlex.training.processes import launched, start_others
from voxlex.training.team import Team

Precision = Literal["32-true", "bf16-mixed"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def choose_devices(*, accelerator: str = "auto", devices: int = 1, precision: Precision = "32-true") -> Fabric:
    """Return a Fabric that has not started yet.

    Args:
        accelerator: "auto", "cpu", "gpu", "mps" or another accelerator of Fabric.
        devices: Number of devices. With more than one, each device has a process, which takes a part of every batch.
            Where a launcher has started the processes, 1 stands for as many as it has started on each machine.
        precision: Precision of the arithmetic. Weights are always float32.

    Raises:
        ConfigError: If this machine does not have such devices, or not enough of them, or a launcher has started
            another number of processes.
    """
    launcher = launched()
    if launcher is not None and devices not in (1, launcher.on_each):
        raise ConfigError(
            f"training.devices: expected {launcher.on_each}, as many processes as were started on each machine, or 1, "
            f"got {devices}"
        )
    count, machines = (devices, 1) if launcher is None else (launcher.on_each, launcher.machines)
    # As long as latents are not quantized, steps do not use the parameters of the quantizer.
    strategy = "auto" if count * machines == 1 else "ddp_find_unused_parameters_true"
    # Without a launcher, a job of Slurm with one task is like any other machine.
    environment = None if launcher is not None else LightningEnvironment()
    try:
        with _only_warnings():
            return Fabric(
                accelerator=accelerator,
                devices=count,
                num_nodes=machines,
                strategy=strategy,
                precision=precision,
                plugins=environment,
            )
    except Exception as cause:  # Fabric raises different errors for each kind of device
        raise ConfigError(f"training.accelerator {accelerator!r}, training.devices {devices}: {cause}") from cause


def launch(fabric: Fabric) -> Team:
    """Start Fabric with a process for each device, and return the team of these processes."""
    keep_freed_memory()
    # Kernels have channels last, and their gradients are exchanged as if they did not, which costs next to nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
    watch = None
    if isinstance(fabric.strategy, DDPStrategy) and fabric.strategy.num_processes > 1:
        assert fabric.strategy.cluster_environment is not None
        watch = start_others(fabric.strategy.num_processes, fabric.strategy.cluster_environment)
    with _only_warnings():
        fabric.launch()
    return Team(fabric, watch)


def automatic_precision(accelerator: str = "auto") -> Precision:
    """Return `bf16-mixed` if the hardware supports bfloat16 natively, else `32-true`."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "cpu") and not torch.backends.mps.is_available():
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Keep Fabric from printing which precision it uses, and which it might; a run folder says so."""
    fabric = logging.getLogger("lightning_fabric")
    before = fabric.level
    fabric.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fabric.setLevel(before)


def keep_freed_memory() -> None:
    """Configure glibc to keep freed memory instead of returning it to the system.

    Training on a CPU allocates and frees the same buffers in every step. If they were returned, the system would map
    and zero them again in each step, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 256 * 2**20)


def lay_out_channels_last(module: nn.Module) -> None:
    """Store kernels in place with channels last. Convolutions are then faster, with the same results."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
