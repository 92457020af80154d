"""How alike the images of one set are among each other."""

import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from voxlex.types import Image

PAIRS = 128
_WINDOW = 11
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al., 2003)
_BATCH = 32


def mean_ms_ssim(images: Image, *, generator: torch.Generator) -> float:
    """Mean multi-scale structural similarity of random pairs of different images.

    Odena, Olah, Shlens (arXiv 1610.09585), section 4.2. A set with a higher mean than real images is less varied.
    Images under 176 pixels have no room for the window at all five scales; the weights of the others are then scaled up
    to sum to one, so figures compare only among images of one size.

    Args:
        images: In [0, 1], `(n, c, *space)`, two or more, at least 11 pixels along each axis. Volumes are compared by
            their middle slices along the first axis.
        generator: Draws the pairs.

    Returns:
        From 0 (nothing alike) to 1 (all equal).

    Raises:
        ValueError: There are fewer than two images, or they are too small.
    """
    if images.ndim == 5:
        images = images[:, :, images.shape[2] // 2]
    side = min(images.shape[2:])
    if len(images) < 2 or side < _WINDOW:
        raise ValueError(f"pairs need 2 images of {_WINDOW} pixels along each axis, found {tuple(images.shape)}")
    # The window must fit at every scale, and torchmetrics asks for a little more.
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
