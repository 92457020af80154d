"""Diversity of a set of images, measured by how alike its images are."""

import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from voxlex.types import Image

PAIRS = 128
_WINDOW = 11
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the scales, finest first (Wang et al., 2003)
_BATCH = 32


def mean_ms_ssim(images: Image, *, generator: torch.Generator) -> float:
    """Return the mean multi-scale structural similarity of random pairs of different images.

    The measure is that of Odena, Olah, Shlens (arXiv 1610.09585), section 4.2. A set with a higher mean than real
    images is less varied. In images under 176 pixels, the window does not fit at all five scales. The weights of the
    remaining scales then sum to one, so figures are comparable only between images of the same size.

    Args:
        images: At least two images in [0, 1], `(n, c, *space)`, with at least 11 pixels along each axis. Volumes are
            compared by their middle slices along the first axis.
        generator: Generator that draws the pairs.

    Returns:
        A similarity from 0 (nothing alike) to 1 (all equal).

    Raises:
        ValueError: If there are fewer than two images, or they are too small.
    """
    if images.ndim == 5:
        images = images[:, :, images.shape[2] // 2]
    side = min(images.shape[2:])
    if len(images) < 2 or side < _WINDOW:
        raise ValueError(f"images: expected at least 2 of {_WINDOW} pixels along each axis, got {tuple(images.shape)}")
    # The window must fit at every scale, and torchmetrics requires a little more than that.
    weights = [weight for scale, weight in enumerate(_WEIGHTS) if side // max(2**scale, scale**2) >= _WINDOW]
    betas = tuple(weight / sum(weights) for weight in weights)
    first = torch.randint(len(images), (PAIRS,), generator=generator)
    second = (first + torch.randint(1, len(images), (PAIRS,), generator=generator)) % len(images)
    total = 0.0
    for one, other in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
        values = multiscale_structural_similarity_index_measure(
            images[one], images[other], data_range=1.0, betas=betas, reduction="none"
        )
        total += float(values.sum())
    return total / PAIRS
