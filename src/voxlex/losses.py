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


def log_spectrum_loss(x_hat: Image, x: Image, *, floor: float = 0.01) -> Loss:
    """Return the mean of |log(|F x̂| + ε) − log(|F x| + ε)| over local spectra F, a loss of texture.

    L1 and SSIM ask for the mean of all textures that a code may stand for, which is smooth. The magnitude of a local
    spectrum does not depend on where exactly a texture lies. So this loss asks for as much fine detail as there is.

    Args:
        x_hat: Reconstructions.
        x: Images in [0, 1].
        floor: The magnitude ε below which differences count little.
    """
    spectra = (_local_spectrum(images) for images in (x_hat, x))
    found, wanted = ((spectrum + floor).log() for spectrum in spectra)
    return (found - wanted).abs().mean()


def _local_spectrum(x: Image) -> Float[Tensor, "b c *frequencies"]:
    """Return magnitudes of the Fourier transform in Hann windows, which overlap by half."""
    axes = tuple(range(2, x.ndim))
    longest = 16 if len(axes) == 2 else 8  # 3D windows of 16 voxels would take eight times the memory
    for axis, length in enumerate(x.shape[2:], start=2):
        side = min(longest, length)
        x = x.unfold(axis, side, max(side // 2, 1))
    for axis in axes:
        taps = torch.hann_window(x.shape[axis - 2 - len(axes)], device=x.device, dtype=x.dtype)
        x = x * taps.view(-1, *[1] * (len(axes) - 1 - (axis - 2)))
    return torch.fft.rfftn(x, dim=tuple(range(-len(axes), 0))).abs()


RECONSTRUCTION_LOSSES: dict[str, Callable[[Image, Image], Loss]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "charbonnier": charbonnier,
    "ssim": ssim_loss,
    "log_spectrum": log_spectrum_loss,
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
