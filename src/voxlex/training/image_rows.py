"""The training images of a stage: whole images or patches, varied or not, in memory or on the device."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.data.dataset import PreparedDataset
from voxlex.training.augmentation import Augmentation
from voxlex.training.patches import Patches
from voxlex.types import Image

_SHARE = 4
"""At most one in so many bytes of a GPU holds training rows; training itself needs the rest."""


class ImageRows:
    """Loads the images of a batch by their row numbers.

    Args:
        dataset: Training images.
        patches: Patches of these images to load instead of whole ones.
        augmentation: What varies the images.
    """

    def __init__(
        self, dataset: PreparedDataset, *, patches: Patches | None = None, augmentation: Augmentation | None = None
    ) -> None:
        self.dataset = dataset
        self.patches = patches
        self.augmentation = augmentation
        self._kept: Tensor | None = None

    def keep_on(self, device: torch.device) -> bool:
        """Send all images to a GPU, if they fit there beside training, and return whether they did.

        Patches are cut from images on disk, and images of 16 bits are sent batch by batch.
        """
        images = self.dataset.images
        if self.patches is None and images.dtype == np.uint8 and fits_on(device, images.nbytes):
            self._kept = torch.from_numpy(np.array(images)).to(device)
        return self._kept is not None

    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> Image:
        """Return images or patches in [0, 1], on the device if they are kept there."""
        if self.patches is not None:
            images = self.patches.load(rows, step=step)
        elif self._kept is not None:
            images = self._kept[rows.to(self._kept.device)].float() / 255
        else:
            images = self.dataset.tensor(rows)
        return images if self.augmentation is None else self.augmentation(images, rows, step=step)


def fits_on(device: torch.device, nbytes: int) -> bool:
    """Return whether training rows of so many bytes fit on a GPU, beside training."""
    return device.type == "cuda" and _SHARE * nbytes <= torch.cuda.mem_get_info(device)[0]
