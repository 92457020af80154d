"""Random patches, for training on images that are too large. Seed and step determine their positions."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.data.dataset import PreparedDataset

_TRIES = 64  # places that are tried to find one in the foreground; an image may be almost entirely black


class Patches:
    """Patches at random positions, preferably in the foreground.

    Only the voxels of the patches are read, so the data set may be larger than memory.

    Args:
        dataset: The images.
        size: Side of a patch.
        foreground_share: Probability that a patch is centred on a voxel brighter than the mean of its image, as far as
            the border allows. Other patches lie anywhere.
        seed: Random seed. Together with the step and the row, it determines the position of a patch, independent of the
            number of devices.

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
        """Load a patch of each row, float32 in [0, 1]."""
        patches = []
        for row in rows.tolist():
            corner = self.corner(row, step=step)
            patches.append(self.images[(row, slice(None), *(slice(start, start + self.size) for start in corner))])
        full_scale = float(np.iinfo(self.images.dtype).max)
        return torch.from_numpy(np.stack(patches).astype(np.float32)).div_(full_scale)

    def corner(self, row: int, *, step: int) -> list[int]:
        """Return the position at which the patch of a row begins in a step, along each axis."""
        rng = np.random.default_rng([self.seed, step, row])
        room = np.array(self.images.shape[2:]) - self.size
        if rng.random() >= self.foreground_share:
            return rng.integers(0, room + 1).tolist()
        places = rng.integers(0, self.images.shape[2:], (_TRIES, len(room)))
        found = np.flatnonzero(self.images[(row, 0, *places.T)] > self._mean(row))
        centre = places[found[0] if len(found) else 0]
        return np.clip(centre - self.size // 2, 0, room).tolist()
