"""The devices that training runs on and its precision; the automatic choice is what the hardware is fast at."""

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from voxlex.errors import ConfigError
from voxlex.training.processes import start_others
from voxlex.training.team import Team

Precision = Literal["32-true", "bf16-mixed"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def choose_devices(*, accelerator: str = "auto", devices: int = 1, precision: Precision = "32-true") -> Fabric:
    """Return a Fabric that has not started yet.

    Args:
        accelerator: "auto", "cpu", "gpu", "mps" and whatever else Fabric knows.
        devices: How many of them; with more than one, each runs a process and takes its own part of every batch.
        precision: Of the arithmetic; weights are float32 in every case.

    Raises:
        ConfigError: If there are no such devices here, or fewer of them.
    """
    # Before latents are quantized, the quantizer's parameters take no part in a step.
    strategy = "auto" if devices == 1 else "ddp_find_unused_parameters_true"
    try:
        with _only_warnings():
            return Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=precision)
    except Exception as cause:  # Fabric has an error of its own for each kind of device
        raise ConfigError(f"training.accelerator {accelerator!r}, training.devices {devices}: {cause}") from cause


def launch(fabric: Fabric) -> Team:
    """Start Fabric and, where there are several devices, a process for each; return what holds them together."""
    keep_freed_memory()
    watch = None
    if isinstance(fabric.strategy, DDPStrategy) and fabric.strategy.num_processes > 1:
        assert fabric.strategy.cluster_environment is not None
        watch = start_others(fabric.strategy.num_processes, fabric.strategy.cluster_environment)
    fabric.launch()
    return Team(fabric, watch)


def automatic_precision(accelerator: str = "auto") -> Precision:
    """Return `bf16-mixed` where bfloat16 is native to the hardware, else `32-true`."""
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
    """Keep Fabric from printing which precision it uses; a run folder says so."""
    fabric = logging.getLogger("lightning_fabric")
    before = fabric.level
    fabric.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fabric.setLevel(before)


def keep_freed_memory() -> None:
    """Tell the C library not to hand freed memory back to the system, where that library is glibc.

    Training on a CPU takes and frees the same buffers in every step; handed back, each of them is mapped and zeroed
    again, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 256 * 2**20)


def lay_out_channels_last(module: nn.Module) -> None:
    """Store kernels with their channels innermost, in place: convolutions then run faster, with the same results."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
