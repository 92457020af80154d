"""Modules whose running statistics keep their precision in a model of half precision."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class PreciseBuffers(nn.Module):
    """A module whose floating-point buffers never have less precision than float32.

    `.half()` and `.bfloat16()` move its buffers to the device, and leave their type. In half precision, a running mean
    would stop to move, because the change in a step is smaller than its last digit. `.double()` converts buffers too.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        applied = super()._apply(fn, recurse)
        for name, buffer in before.items():
            after = self._buffers[name]
            if after is not None and after.is_floating_point() and after.dtype.itemsize < torch.float32.itemsize:
                self._buffers[name] = buffer.to(
                    device=after.device, dtype=torch.promote_types(buffer.dtype, torch.float32)
                )
        return applied
