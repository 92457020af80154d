"""How a gradient passes the step from a latent vector to its codeword."""

from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    """Forward: `z_q`, bit for bit. Backward: the gradient goes to `z_e` unchanged."""

    @staticmethod
    def forward(ctx: Any, z_e: Tensor, z_q: Tensor) -> Tensor:
        return z_q.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def straight_through(z_e: Tensor, z_q: Tensor) -> Tensor:
    """Return `z_q` and send its gradient to `z_e` (van den Oord et al., 1711.00937, section 3.2).

    The usual `z_e + sg[z_q - z_e]` differs from `z_q` by a rounding error; this is `z_q` itself.
    """
    return _StraightThrough.apply(z_e, z_q)
