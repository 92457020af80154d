"""How much of two sets of features overlaps, by their nearest neighbours."""

import torch
from jaxtyping import Float
from torch import Tensor

PRECISION_K = 3
"""Neighbours that span the balls of precision and recall, as Kynkäänniemi et al. choose."""

DENSITY_K = 5
"""Neighbours that span the balls of density and coverage, as Naeem et al. choose."""

_ROWS = 1024


def overlap(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> dict[str, float]:
    """Measure the overlap of generated images `x` and real ones `y`.

    Precision and recall: Kynkäänniemi et al. (arXiv 1904.06991), eqs. 1 and 2. Density and coverage: Naeem et al.
    (arXiv 2002.09797), section 3. A ball reaches from an image to its k-th nearest other of the same set.

    Returns:
        `precision`, the share of generated images within a ball of a real one; `recall`, the share of real images
        within a ball of a generated one; `density`, in how many balls of real images a generated one lies, over k: 1 is
        as dense as real images, more is possible; `coverage`, the share of real images with a generated one in their
        ball. Precision, recall and coverage from 0 to 1.

    Raises:
        ValueError: A set holds too few images for k neighbours.
    """
    if min(len(x), len(y)) <= DENSITY_K:
        raise ValueError(f"{DENSITY_K} neighbours need at least {DENSITY_K + 1} images, found {len(x)} and {len(y)}")
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
    """Distance of each row to its k-th nearest other."""
    chunks = [_distances(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_ROWS)]  # the nearest is itself
    return torch.cat(chunks)


def _distances(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")  # exact for equal rows
