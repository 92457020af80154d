"""Reconstruction losses, which measure how far a reconstruction is from its image."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxlex.metrics import ssim
from voxlex.types import Image

Loss = Float[Tensor, ""]


def charbonnier(x_hat: Image, x: Image, *, epsilon: float = 1e-3) -> Loss:
    """Return the mean of sqrt((x̂ − x)² + ε²), an L1 loss that is smooth at 0 (Charbonnier et al., ICIP 1994)."""
    return ((x_hat - x).square() + epsilon**2).sqrt().mean()


def ssim_loss(x_hat: Image, x: Image) -> Loss:
    """Return 1 − SSIM, averaged over images (Wang et al., 2004)."""
    return 1 - ssim(x_hat, x).mean()


RECONSTRUCTION_LOSSES: dict[str, Callable[[Image, Image], Loss]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "charbonnier": charbonnier,
    "ssim": ssim_loss,
}
"""The loss terms by the names that recipes use. Every term is a mean, so it does not depend on the batch size."""


def reconstruction_losses(x_hat: Image, x: Image, weights: Mapping[str, float]) -> dict[str, Loss]:
    """Return the weighted loss terms, without terms of weight 0.

    Args:
        x_hat: Reconstructions.
        x: Images in [0, 1].
        weights: Weight of each term, by its name in `RECONSTRUCTION_LOSSES`.

    Raises:
        ValueError: If a name is unknown, or no term has a weight above 0.
    """
    unknown = set(weights) - set(RECONSTRUCTION_LOSSES)
    if unknown:
        raise ValueError(f"losses: expected names among {sorted(RECONSTRUCTION_LOSSES)}, got {sorted(unknown)}")
    if not any(weight > 0 for weight in weights.values()):
        raise ValueError(f"losses: expected at least one weight above 0, got {dict(weights)}")
    with torch.autocast(x.device.type, enabled=False):
        x_hat = x_hat.float()
        return {name: weight * RECONSTRUCTION_LOSSES[name](x_hat, x) for name, weight in weights.items() if weight > 0}
