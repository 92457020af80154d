"""Find generated images that copy training images, by the distance to the nearest training image."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

COPY_FRACTION = 0.5
"""An image is a near copy if its distance is below this fraction of the median distance of held-out images."""

_FINE_SIDE = {2: 32, 3: 16}  # by number of dimensions, the side to which images are reduced before they are compared
_CANDIDATES = 32
_REACH = 3 / 128  # the largest shift that is undone, as a share of a side
_BATCH = 64


class Pair(NamedTuple):
    """An image and its nearest training image.

    Attributes:
        sample: Index of the sample.
        training: Index of the training image, counted over all batches.
        distance: Distance from 0 (the same picture) to 1 (nothing in common), see `TrainingImages`.
    """

    sample: int
    training: int
    distance: float


class TrainingImages:
    """A searchable index of the images that a model has seen.

    The distance of an image to a training image is `√(1 − ρ²)`, where ρ is the correlation of the two. Both are first
    averaged down to 32×32 cells (16×16×16 for volumes), and the image is shifted by up to a fortieth of its side to the
    place where it fits best. The distance is thus the share of the image's contrast that remains after the training
    image is subtracted with the brightness and contrast that fit best.

    A change of brightness or contrast, a small shift, blur or noise cannot hide a copy. Mirroring, rotation, warping by
    pixels and larger shifts may hide one. Only the 32 most similar training images are compared in this way. They are
    found at half as many cells per side, without shifts.

    Args:
        batches: Training images in [0, 1], such as `images.split(256)`. Only their reduced forms are kept.

    Raises:
        ValueError: If there are no training images.
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ _ *_"]]) -> None:
        reduced = [(_normalised(batch, half=True), _normalised(batch)) for batch in batches]
        if not reduced:
            raise ValueError("training: expected at least one batch of images, got none")
        self.coarse, self.fine = (torch.cat(parts) for parts in zip(*reduced, strict=True))

    def nearest(self, images: Image) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
        """Return the distance of each image to its nearest training image, and the index of the latter."""
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
    """Compare distances to the training images with those of images that the model cannot have copied.

    The figures are shares from 0 to 1:

    - `copies`: near copies, by `COPY_FRACTION`.
    - `closer_than_p1`, `closer_than_p5`, `closer_than_median`: images that are closer than the closest 1 %, 5 % and
      half of the held-out images. They are 0.01, 0.05 and 0.5 if nothing is copied.
    - `memorisation_auc`: the probability that an image is closer than a held-out image. It is 0.5 if nothing is copied,
      and 1 if everything is copied.

    Args:
        distances: Distances of the images to judge.
        held_out: Distances of held-out images.

    Returns:
        The figures by name.
    """
    p1, p5, median = held_out.quantile(held_out.new_tensor([0.01, 0.05, 0.5]))
    ranked, pairs = held_out.sort().values, len(distances) * len(held_out)
    first, last = (int(torch.searchsorted(ranked, distances, right=right).sum()) for right in (False, True))
    return {
        "copies": _share(distances < copy_distance(held_out)),
        "closer_than_p1": _share(distances < p1),
        "closer_than_p5": _share(distances < p5),
        "closer_than_median": _share(distances < median),
        "memorisation_auc": (pairs - last) / pairs + (last - first) / pairs / 2,
    }


def copy_distance(held_out: Float[Tensor, " m"]) -> float:
    """Return the distance below which an image is a near copy.

    It stays useful as long as no more than half of the held-out images are copies themselves.
    """
    return COPY_FRACTION * float(held_out.median())


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


def _normalised(images: Image, *, half: bool = False) -> Float[Tensor, "n f"]:
    """Reduce images to vectors of cells with mean 0 and length 1, so that a product is a correlation."""
    side = _FINE_SIDE[images.ndim - 2] // (2 if half else 1)
    size = [min(side, length) for length in images.shape[2:]]
    cells = functional.interpolate(images.float(), size=size, mode="area").flatten(1)
    cells = cells - cells.mean(dim=1, keepdim=True)
    return cells / cells.norm(dim=1, keepdim=True).clamp_min(1e-6)


def _shifts(space: torch.Size) -> list[tuple[int, ...]]:
    """Return shifts along each axis in pixels, up to `_REACH` of the side, at most seven (three in volumes)."""
    moves = []
    for side in space:
        reach = max(1, round(_REACH * side))
        step = reach if len(space) == 3 else max(1, reach // 3)
        moves.append(range(-(reach // step) * step, reach + 1, step))
    return list(product(*moves))
