"""Fréchet distance between two sets of features, each modeled as a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> float:
    """Return `|μx − μy|² + tr(Σx + Σy − 2(ΣxΣy)^½)` (Heusel et al., arXiv 1706.08500, eq. 6).

    With `Σ = RᵀR`, the trace of `(ΣxΣy)^½` is the sum of the singular values of `Rx Ryᵀ`. So this needs no matrix root
    and no complex numbers. A covariance may be singular, as it is if there are fewer images than features.

    The distance is biased upwards for small sets, by about `tr Σ / n` or more. So compare only distances between sets
    of the same sizes.

    Args:
        x: Features of one set, at least two rows.
        y: Features of the other set, at least two rows.

    Returns:
        The distance in squared units of the features, at least 0.

    Raises:
        ValueError: If a set holds fewer than two images.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"Fréchet distance: expected at least 2 images in each set, got {len(x)} and {len(y)}")
    x, y = x.double(), y.double()
    x_factor, y_factor = _covariance_factor(x), _covariance_factor(y)
    between_means = (x.mean(0) - y.mean(0)).square().sum()
    shared = torch.linalg.svdvals(x_factor @ y_factor.T).sum()
    distance = between_means + x_factor.square().sum() + y_factor.square().sum() - 2 * shared
    return max(0.0, float(distance))


def _covariance_factor(x: Float[Tensor, "n f"]) -> Float[Tensor, "r f"]:
    """Return R such that RᵀR is the covariance of the rows, with no more rows than needed."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return centred if len(x) <= x.shape[1] else torch.linalg.qr(centred, mode="r").R
