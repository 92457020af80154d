"""Diversity of a set of images, measured by how alike its images are."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from voxlex.types import Image

PAIRS = 128
_WINDOW = 11
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the scales, finest first (Wang et al., 2003)
_BATCH = 32


Numbers = Int64[Tensor, " k"]
Pairs = tuple[Numbers, Numbers]


def draw_pairs(images: int, *, generator: torch.Generator) -> Pairs:
    """Draw `PAIRS` pairs of different images by their numbers.

    Raises:
        ValueError: If there are fewer than two images.
    """
    if images < 2:
        raise ValueError(f"images: expected at least 2, got {images}")
    first = torch.randint(images, (PAIRS,), generator=generator)
    return first, (first + torch.randint(1, images, (PAIRS,), generator=generator)) % images


def mean_ms_ssim(images: Callable[[Numbers], Image], pairs: Pairs) -> float:
    """Return the mean multi-scale structural similarity of pairs of images.

    With random pairs of a set, this is the measure of Odena, Olah, Shlens (arXiv 1610.09585), section 4.2. A set with a
    higher mean than real images is less varied. In images under 176 pixels, the window does not fit at all five scales.
    The weights of the remaining scales then sum to one, so figures are comparable only between images of the same size.

    Args:
        images: Gives the images with some numbers, in [0, 1], `(k, c, *space)`, with at least 11 pixels along each
            axis. Volumes are compared by their middle slices along the first axis.
        pairs: The numbers of the first and of the second image of each pair; see `draw_pairs`.

    Returns:
        A similarity from 0 (nothing alike) to 1 (all equal).

    Raises:
        ValueError: If the images are too small.
    """
    total = 0.0
    for one, other in zip(*(numbers.split(_BATCH) for numbers in pairs), strict=True):
        total += float(_ms_ssim(_flat(images(one)), _flat(images(other))).sum())
    return total / len(pairs[0])


def _flat(images: Image) -> Float[Tensor, "b c h w"]:
    return images[:, :, images.shape[2] // 2] if images.ndim == 5 else images


def _ms_ssim(x: Image, y: Image) -> Float[Tensor, " k"]:
    side = min(x.shape[2:])
    if side < _WINDOW:
        raise ValueError(f"images: expected at least {_WINDOW} pixels along each axis, got {tuple(x.shape)}")
    # The window must fit at every scale, and torchmetrics requires a little more than that.
    weights = [weight for scale, weight in enumerate(_WEIGHTS) if side // max(2**scale, scale**2) >= _WINDOW]
    betas = tuple(weight / sum(weights) for weight in weights)
    return multiscale_structural_similarity_index_measure(x, y, data_range=1.0, betas=betas, reduction="none")
