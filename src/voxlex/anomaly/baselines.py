"""What every map must beat: two maps that know nothing of codes."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.anomaly.fields import Maps, blurred
from voxlex.types import Image

_AIR = 0.06  # of the range of grey values
_SMOOTH = 1 / 100  # standard deviation of the smoothing, as a share of the side
_REDUCED = 32  # side of the small images in which the nearest is searched for


def equalised_intensity(images: Image) -> Maps:
    """Return how bright each pixel is among the pixels of its head, from 0 to 1.

    Bright lesions on FLAIR images are found by it better than by most learned maps (Meissen et al., *Challenging
    current semi-supervised anomaly segmentation methods for brain MRI*, 2021).

    Args:
        images: Images in [0, 1].
    """
    grey = images.mean(dim=1)
    ranks = []
    for image in grey.flatten(1):
        head = image > _AIR
        ordered = image[head].sort().values
        ranks.append(torch.where(head, torch.searchsorted(ordered, image) / max(len(ordered), 1), 0.0))
    return torch.stack(ranks).view_as(grey).float()


class NearestHealthy:
    """Shows how far each pixel is from the healthy image that is most like the whole image.

    Args:
        references: Healthy images in [0, 1].
    """

    def __init__(self, references: Image) -> None:
        self._references = references
        self._reduced = _reduced(references)

    def __call__(self, images: Image) -> Maps:
        """Return the smoothed absolute difference from the nearest healthy image.

        Args:
            images: Images in [0, 1].
        """
        nearest = torch.cdist(_reduced(images), self._reduced).argmin(dim=1)
        difference = (images - self._references[nearest]).mean(dim=1).abs()
        return blurred(difference, _SMOOTH * images.shape[-1])


def _reduced(images: Image) -> Float[Tensor, "b f"]:
    pool = functional.adaptive_avg_pool2d if images.ndim == 4 else functional.adaptive_avg_pool3d
    side = min(_REDUCED, images.shape[-1]) // (images.ndim - 3)
    return pool(images.mean(dim=1, keepdim=True), side).flatten(1)
