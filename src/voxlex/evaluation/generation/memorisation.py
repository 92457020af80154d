"""Are generated images copies of training images? Each one's nearest training image, and how near is too near."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

COPY_FRACTION = 0.5
"""An image is a near copy when it is nearer to training than this fraction of the held-out images' median distance."""

_FINE_SIDE = {2: 32, 3: 16}  # by dimensions: what an image is reduced to before it is compared
_CANDIDATES = 32
_REACH = 3 / 128  # of a side, the shift that is undone
_BATCH = 64


class Pair(NamedTuple):
    """An image and its nearest training image.

    Attributes:
        sample: Which sample.
        training: Which training image, counted over all batches.
        distance: From 0, the same picture, to 1, nothing in common; see `TrainingImages`.
    """

    sample: int
    training: int
    distance: float


class TrainingImages:
    """The images that a model has seen, ready to be searched.

    The distance of an image to a training image is `√(1 − ρ²)`, with ρ the correlation of the two after both are
    averaged down to 32×32 cells (16×16×16 for volumes) and the image is moved by up to a fortieth of its side to where
    it fits best: the share of the image's contrast that remains when the training image, as bright and as strong as
    fits best, is subtracted. So neither brightness, contrast, a small shift, blur nor noise hides a copy; mirroring,
    turning, warping by pixels and larger shifts may. Only the 32 training images that are likest at half as many cells
    a side, unmoved, are compared in this way.

    Args:
        batches: Training images in [0, 1], such as `images.split(256)`; only their reductions are kept.
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ _ *_"]]) -> None:
        reduced = [(_normalised(batch, half=True), _normalised(batch)) for batch in batches]
        if not reduced:
            raise ValueError("there are no training images")
        self.coarse, self.fine = (torch.cat(parts) for parts in zip(*reduced, strict=True))

    def nearest(self, images: Image) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
        """Return each image's distance to its nearest training image, and which one that is."""
        found = [self._nearest(batch) for batch in images.split(_BATCH)]
        distances, indices = zip(*found, strict=True)
        return torch.cat(distances), torch.cat(indices)

    def _nearest(self, images: Image) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
        likeness = _normalised(images, half=True) @ self.coarse.T
        candidates = likeness.topk(min(_CANDIDATES, len(self.coarse)), dim=1).indices
        axes = tuple(range(2, images.ndim))
        shifted = [_normalised(images.roll(shift, axes)) for shift in _shifts(images.shape[2:])]
        correlation = self.fine[candidates] @ torch.stack(shifted, dim=2)
        best, place = correlation.amax(dim=2).max(dim=1)
        indices = candidates.gather(1, place[:, None])[:, 0]
        return (1 - best.clamp(0, 1).square()).sqrt(), indices


def memorisation_figures(distances: Float[Tensor, " n"], held_out: Float[Tensor, " m"]) -> dict[str, float]:
    """Compare distances to training with those of images that a model cannot have copied.

    Args:
        distances: Of the images to judge.
        held_out: Of held-out images.

    Returns:
        Shares from 0 to 1. `copies`, near copies by `COPY_FRACTION`; `closer_than_p1`, `closer_than_p5` and
        `closer_than_median`, images closer than 1 %, 5 % and half of the held-out images, so 0.01, 0.05 and 0.5 if
        nothing is copied; `memorisation_auc`, the probability that an image is closer than a held-out one: 0.5 if
        nothing is copied, 1 if everything is.
    """
    p1, p5, median = held_out.quantile(held_out.new_tensor([0.01, 0.05, 0.5]))
    closer = (distances[:, None] < held_out).double().mean() + (distances[:, None] == held_out).double().mean() / 2
    return {
        "copies": _share(distances < copy_distance(held_out)),
        "closer_than_p1": _share(distances < p1),
        "closer_than_p5": _share(distances < p5),
        "closer_than_median": _share(distances < median),
        "memorisation_auc": float(closer),
    }


def copy_distance(held_out: Float[Tensor, " m"]) -> float:
    """Distance below which an image is a near copy; up to half of the held-out images may be copies themselves."""
    return COPY_FRACTION * float(held_out.median())


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


def _normalised(images: Image, *, half: bool = False) -> Float[Tensor, "n f"]:
    """Reduce images to cells, of mean 0 and length 1, so that a product is a correlation."""
    side = _FINE_SIDE[images.ndim - 2] // (2 if half else 1)
    size = [min(side, length) for length in images.shape[2:]]
    cells = functional.interpolate(images.float(), size=size, mode="area").flatten(1)
    cells = cells - cells.mean(dim=1, keepdim=True)
    return cells / cells.norm(dim=1, keepdim=True).clamp_min(1e-6)


def _shifts(space: torch.Size) -> list[tuple[int, ...]]:
    """Moves along each axis in pixels: up to `_REACH` of the side, in at most seven steps (three in volumes)."""
    moves = []
    for side in space:
        reach = max(1, round(_REACH * side))
        step = reach if len(space) == 3 else max(1, reach // 3)
        moves.append(range(-(reach // step) * step, reach + 1, step))
    return list(product(*moves))
