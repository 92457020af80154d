"""Fréchet distance between two sets of features, each taken for a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> float:
    """Compare mean and covariance: `|μx − μy|² + tr(Σx + Σy − 2(ΣxΣy)^½)` (Heusel et al., arXiv 1706.08500, eq. 6).

    With `Σ = RᵀR`, the trace of `(ΣxΣy)^½` is the sum of the singular values of `Rx Ryᵀ`. So no matrix root is taken,
    nothing turns complex, and a singular covariance, as fewer images than features have, needs no nudge.

    The distance of few images is too large, whichever they are: by about `tr Σ / n` and more, the fewer they are. Only
    distances between sets of the same sizes compare.

    Args:
        x: Features of one set; two rows or more.
        y: Features of the other.

    Returns:
        Distance in squared units of the features, 0 or more.

    Raises:
        ValueError: A set holds fewer than two images.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a covariance needs at least 2 images, found {len(x)} and {len(y)}")
    x, y = x.double(), y.double()
    x_factor, y_factor = _covariance_factor(x), _covariance_factor(y)
    between_means = (x.mean(0) - y.mean(0)).square().sum()
    shared = torch.linalg.svdvals(x_factor @ y_factor.T).sum()
    distance = between_means + x_factor.square().sum() + y_factor.square().sum() - 2 * shared
    return max(0.0, float(distance))


def _covariance_factor(x: Float[Tensor, "n f"]) -> Float[Tensor, "r f"]:
    """R with RᵀR the covariance of the rows, and no more rows than needed."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return centred if len(x) <= x.shape[1] else torch.linalg.qr(centred, mode="r").R
