"""Overlap of two sets of features, measured by their nearest neighbors."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

PRECISION_K = 3
"""Number of neighbors that span the balls of precision and recall, as in Kynkäänniemi et al."""

DENSITY_K = 5
"""Number of neighbors that span the balls of density and coverage, as in Naeem et al."""

_ROWS = 1024


@dataclass(frozen=True)
class Overlap:
    """What each image of two sets, `n` generated and `m` real ones, says about their overlap.

    Attributes:
        precise: Whether a generated image lies in the ball of a real image.
        recalled: Whether a real image lies in the ball of a generated image.
        balls: Number of balls of real images around a generated image.
        covered: Whether the ball of a real image holds a generated image.
    """

    precise: Bool[Tensor, " n"]
    recalled: Bool[Tensor, " m"]
    balls: Int64[Tensor, " n"]
    covered: Bool[Tensor, " m"]

    @property
    def figures(self) -> dict[str, float]:
        """Means over the images.

        - `precision`: the share of generated images within the ball of a real image.
        - `recall`: the share of real images within the ball of a generated image.
        - `density`: the mean number of balls of real images around a generated image, divided by k. It is 1 if
          generated images lie as densely as real ones, and can be larger.
        - `coverage`: the share of real images with a generated image in their ball.
        """
        shares = {"precision": self.precise, "recall": self.recalled, "coverage": self.covered}
        means = {name: float(chosen.double().mean()) for name, chosen in shares.items()}
        return means | {"density": float(self.balls.double().mean()) / DENSITY_K}


def overlap(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> Overlap:
    """Find the overlap of generated images `x` and real images `y`.

    Precision and recall follow Kynkäänniemi et al. (arXiv 1904.06991), eqs. 1 and 2. Density and coverage follow Naeem
    et al. (arXiv 2002.09797), section 3. The ball around an image reaches to its k-th nearest neighbor in the same set.

    Raises:
        ValueError: If a set holds too few images for k neighbors.
    """
    if min(len(x), len(y)) <= DENSITY_K:
        raise ValueError(f"overlap: expected at least {DENSITY_K + 1} images in each set, got {len(x)} and {len(y)}")
    x_radius = _radius(x, k=PRECISION_K)
    y_radius, y_wide = _radius(y, k=PRECISION_K), _radius(y, k=DENSITY_K)
    recalled, covered = (torch.zeros(len(y), dtype=torch.bool, device=y.device) for _ in range(2))
    precise, balls = [], []
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = _distances(x[rows], y)
        inside = distances <= y_wide
        precise.append((distances <= y_radius).any(dim=1))
        balls.append(inside.sum(dim=1))
        recalled |= (distances <= x_radius[rows, None]).any(dim=0)
        covered |= inside.any(dim=0)
    return Overlap(precise=torch.cat(precise), recalled=recalled, balls=torch.cat(balls), covered=covered)


def _radius(x: Float[Tensor, "n f"], *, k: int) -> Float[Tensor, " n"]:
    """Return the distance of each row to its k-th nearest neighbor."""
    # The nearest row is the row itself.
    return torch.cat([_distances(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_ROWS)])


def _distances(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")  # exact for equal rows
