"""Gradient estimators for the step from a latent vector to its codeword."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from voxlex.types import Latents

Gradient = Literal["straight_through", "rotation"]
"""The names of the estimators that give the codeword no gradient, in quantizers and recipes."""


def straight_through(z_e: Latents, z_q: Latents) -> Latents:
    """Return `z_q` and send its gradient to `z_e` unchanged (van den Oord et al., 1711.00937, section 3.2).

    The usual form, `z_e + sg[z_q - z_e]`, differs from `z_q` by a rounding error. This function returns `z_q` itself.
    """
    return _StraightThrough.apply(z_e, z_q)


def rotation(z_e: Latents, z_q: Latents) -> Latents:
    """Return `z_q` and send its gradient g to `z_e` as λRᵀg, the rotation trick (Fifty et al., 2410.06424, section 4).

    In each cell, λ = ‖z_q‖/‖z_e‖, and R = I − 2rrᵀ + 2q̂êᵀ rotates the direction ê of the latent to the direction q̂ of
    its codeword. Here r is the unit vector halfway between ê and q̂. The usual form, λR z_e, differs from `z_q` by a
    rounding error. This function returns `z_q` itself. If the two vectors are opposite, the rotation is not defined,
    and a reflection takes its place (R = I − 2êêᵀ). If either vector is zero, the gradient passes straight through.
    """
    return _Rotation.apply(z_e, z_q)


def diveq(z_e: Latents, z_q: Latents, *, variance: float = 0.0) -> Latents:
    """Return `z_e` moved towards `z_q`, with gradients for both (DiVeQ, Vali et al., 2509.26469).

    In each cell, the result is z_e + ‖z_q − z_e‖·sg[u], where u is the unit vector of z_q − z_e + v with v from
    N(0, σ²I). For a gradient g of the result, `z_q` gets ê(uᵀg), where ê is the direction from `z_e` to `z_q`, and
    `z_e` gets the rest, g − ê(uᵀg). So both learn from the decoder, and no loss needs to pull them together. Without
    noise, this function returns `z_q` itself.

    Args:
        z_e: Latents.
        z_q: The codeword of each.
        variance: Variance σ² of the noise.
    """
    error = z_q - z_e
    target = error.detach()
    if variance:
        target = target + math.sqrt(variance) * torch.randn_like(target)
    moved = z_e + _norm(error) * _divide(target, _norm(target))
    return moved if variance else straight_through(moved, z_q)


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
"""The estimators by name. Each takes `z_e` and `z_q` and returns `z_q`."""


def estimator(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the gradient estimator of a given name.

    Raises:
        ValueError: If no estimator has that name.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"gradient: expected one of {sorted(ESTIMATORS)}, got {name!r}")
    return ESTIMATORS[name]
