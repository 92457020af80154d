"""Random patches of images, for images too large to learn from whole; where they lie follows from seed and step."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.data.dataset import PreparedDataset

_TRIES = 64  # places looked at for one in the foreground; an image may be all but black


class Patches:
    """Patches at random places, mostly where there is something to see.

    Only the voxels of the patches are read, so volumes that do not fit into memory can be learned from.

    Args:
        dataset: The images.
        size: Side of a patch.
        foreground_share: Probability that a patch is centred on a voxel brighter than the mean of its image, as far as
            the border lets it; otherwise it lies anywhere.
        seed: Together with the step and the row, it decides where a patch lies, on any number of devices.

    Raises:
        ValueError: If a patch is larger than an image.
    """

    def __init__(self, dataset: PreparedDataset, *, size: int, foreground_share: float, seed: int) -> None:
        if size > min(dataset.images.shape[2:]):
            raise ValueError(f"patch_size: expected at most {min(dataset.images.shape[2:])}, got {size}")
        self.images = dataset.images
        self.size = size
        self.foreground_share = foreground_share
        self.seed = seed
        self._mean = lru_cache(maxsize=None)(lambda row: float(self.images[row].mean(dtype=np.float64)))

    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> Float[Tensor, "b c *patch"]:
        """Return a patch of each row, float32 in [0, 1]."""
        patches = []
        for row in rows.tolist():
            corner = self.corner(row, step=step)
            patches.append(self.images[(row, slice(None), *(slice(start, start + self.size) for start in corner))])
        full_scale = float(np.iinfo(self.images.dtype).max)
        return torch.from_numpy(np.stack(patches).astype(np.float32)).div_(full_scale)

    def corner(self, row: int, *, step: int) -> list[int]:
        """Return where the patch of a row begins in a step, along each axis."""
        rng = np.random.default_rng([self.seed, step, row])
        room = np.array(self.images.shape[2:]) - self.size
        if rng.random() >= self.foreground_share:
            return rng.integers(0, room + 1).tolist()
        places = rng.integers(0, self.images.shape[2:], (_TRIES, len(room)))
        found = np.flatnonzero(self.images[(row, 0, *places.T)] > self._mean(row))
        centre = places[found[0] if len(found) else 0]
        return np.clip(centre - self.size // 2, 0, room).tolist()
