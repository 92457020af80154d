"""Overlap of two sets of features, measured by their nearest neighbors."""

import torch
from jaxtyping import Float
from torch import Tensor

PRECISION_K = 3
"""Number of neighbors that span the balls of precision and recall, as in Kynkäänniemi et al."""

DENSITY_K = 5
"""Number of neighbors that span the balls of density and coverage, as in Naeem et al."""

_ROWS = 1024


def overlap(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> dict[str, float]:
    """Measure the overlap of generated images `x` and real images `y`.

    Precision and recall follow Kynkäänniemi et al. (arXiv 1904.06991), eqs. 1 and 2. Density and coverage follow Naeem
    et al. (arXiv 2002.09797), section 3. The ball around an image reaches to its k-th nearest neighbor in the same set.

    - `precision`: the share of generated images within the ball of a real image.
    - `recall`: the share of real images within the ball of a generated image.
    - `density`: the mean number of balls of real images around a generated image, divided by k. It is 1 if generated
      images lie as densely as real ones, and can be larger.
    - `coverage`: the share of real images with a generated image in their ball.

    Returns:
        The four figures by name. Precision, recall and coverage lie between 0 and 1.

    Raises:
        ValueError: If a set holds too few images for k neighbors.
    """
    if min(len(x), len(y)) <= DENSITY_K:
        raise ValueError(f"overlap: expected at least {DENSITY_K + 1} images in each set, got {len(x)} and {len(y)}")
    x_radius = _radius(x, k=PRECISION_K)
    y_radius, y_wide = _radius(y, k=PRECISION_K), _radius(y, k=DENSITY_K)
    recalled, covered = (torch.zeros(len(y), dtype=torch.bool, device=y.device) for _ in range(2))
    precise = balls = 0
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = _distances(x[rows], y)
        inside = distances <= y_wide
        precise += int((distances <= y_radius).any(dim=1).sum())
        balls += int(inside.sum())
        recalled |= (distances <= x_radius[rows, None]).any(dim=0)
        covered |= inside.any(dim=0)
    return {
        "precision": precise / len(x),
        "recall": float(recalled.double().mean()),
        "density": balls / (DENSITY_K * len(x)),
        "coverage": float(covered.double().mean()),
    }


def _radius(x: Float[Tensor, "n f"], *, k: int) -> Float[Tensor, " n"]:
    """Return the distance of each row to its k-th nearest neighbor."""
    # The nearest row is the row itself.
    return torch.cat([_distances(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_ROWS)])


def _distances(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")  # exact for equal rows
