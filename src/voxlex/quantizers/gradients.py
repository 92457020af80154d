"""How a gradient passes the step from a latent vector to its codeword."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from voxlex.types import Latents

Gradient = Literal["straight_through", "rotation"]
"""The estimators, by the names that quantizers and recipes call them."""


def straight_through(z_e: Latents, z_q: Latents) -> Latents:
    """Return `z_q` and send its gradient to `z_e` unchanged (van den Oord et al., 1711.00937, section 3.2).

    The usual `z_e + sg[z_q - z_e]` differs from `z_q` by a rounding error; this is `z_q` itself.
    """
    return _StraightThrough.apply(z_e, z_q)


def rotation(z_e: Latents, z_q: Latents) -> Latents:
    """Return `z_q` and send its gradient g to `z_e` as λRᵀg, the rotation trick (Fifty et al., 2410.06424, section 4).

    In each cell λ = ‖z_q‖/‖z_e‖, and R = I − 2rrᵀ + 2q̂êᵀ, with r the unit vector halfway between ê and q̂, turns the
    direction ê of the latent into the direction q̂ of its codeword. The usual form, λR z_e, differs from `z_q` by a
    rounding error; this is `z_q` itself. Where the turn is not defined it is replaced by what has the same length:
    opposite vectors are mirrored (R = I − 2êêᵀ), and if either vector is zero the gradient passes straight through.
    """
    return _Rotation.apply(z_e, z_q)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z_e: Tensor, z_q: Tensor) -> Tensor:
        return z_q.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z_e: Tensor, z_q: Tensor) -> Tensor:
        ctx.save_for_backward(z_e, z_q)
        return z_q.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        z_e, z_q = (vectors.float() for vectors in ctx.saved_tensors)
        gradient = grads[0].float()
        e_norm, q_norm = _norm(z_e), _norm(z_q)
        e, q = _divide(z_e, e_norm), _divide(z_q, q_norm)
        halfway = e + q
        length = _norm(halfway)
        r = _divide(halfway, length).where(length > 1e-6, torch.zeros_like(e))
        turned = gradient - 2 * _dot(gradient, r) * r + 2 * _dot(gradient, q) * e
        scale = q_norm / e_norm
        defined = (e_norm > 0) & (q_norm > 0) & scale.isfinite()
        return torch.where(defined, scale * turned, gradient).to(grads[0].dtype), None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True)


def _norm(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, keepdim=True)


def _divide(vectors: Tensor, norm: Tensor) -> Tensor:
    return vectors / norm.clamp(min=torch.finfo(norm.dtype).tiny)


ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"straight_through": straight_through, "rotation": rotation}
)
"""Each takes `z_e` and `z_q` and returns `z_q`."""


def estimator(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a gradient estimator by its name.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"gradient: expected one of {sorted(ESTIMATORS)}, got {name!r}")
    return ESTIMATORS[name]
