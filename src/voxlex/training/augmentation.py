"""Random variations of training images by torchio."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.types import Image


class Augmentation:
    """Flips, rotates and rescales images, and changes their contrast and shading. Settings that are 0 have no effect.

    Args:
        flip: Share of images that are mirrored from left to right.
        degrees: Largest rotation about each axis in degrees.
        scale: Largest change of size, as a share.
        gamma: Largest absolute logarithm of the exponent for grey values.
        bias: Largest coefficient of the polynomial that shades an image.
        seed: Random seed. Together with the step and the row, it determines how an image is varied.

    Raises:
        ValueError: If all settings are 0.
    """

    def __init__(
        self,
        *,
        flip: float = 0.0,
        degrees: float = 0.0,
        scale: float = 0.0,
        gamma: float = 0.0,
        bias: float = 0.0,
        seed: int,
    ) -> None:
        if not any((flip, degrees, scale, gamma, bias)):
            raise ValueError("augment: expected a value above 0 for at least one of its settings")
        # This import takes seconds, so only users of augmentation should pay for it.
        import torchio

        self.seed = seed
        self.flip = flip
        # torchio gets pictures as volumes of one slice, (1, h, w, 1). They rotate in their plane, about the last axis.
        plane, space = (0, 0, 0, 0, -degrees, degrees), (-degrees, degrees) * 3
        steps: dict[int, list[Callable[[Tensor], Tensor]]] = {2: [], 3: []}
        for dims, angles in ((2, plane), (3, space)):
            if degrees or scale:
                scales = (1 - scale, 1 + scale)
                steps[dims].append(
                    torchio.RandomAffine(scales=scales, degrees=angles, isotropic=True, default_pad_value=0, copy=False)
                )
            if gamma:
                steps[dims].append(torchio.RandomGamma(log_gamma=(-gamma, gamma), copy=False))
            if bias:
                steps[dims].append(torchio.RandomBiasField(coefficients=bias, order=2, copy=False))
        self._steps: dict[int, Any] = {dims: torchio.Compose(found, copy=False) for dims, found in steps.items()}

    def __call__(self, images: Image, rows: Int64[Tensor, " b"], *, step: int) -> Image:
        """Return variations of images `(b, 1, *space)` in [0, 1]. The last axis runs from right to left."""
        return torch.stack([self._vary(image, int(row), step) for image, row in zip(images, rows, strict=True)])

    def _vary(self, image: Tensor, row: int, step: int) -> Tensor:
        rng = np.random.default_rng([self.seed, step, row, 1])
        # torchio works in place here. Its own copies would copy the whole batch, because the image is a view of it.
        image = image.flip(-1) if rng.random() < self.flip else image.clone()
        flat = image.ndim == 3
        with torch.random.fork_rng(devices=[]):  # torchio uses the global random generator
            torch.manual_seed(int(rng.integers(2**31)))
            varied = self._steps[2 if flat else 3](image[..., None] if flat else image)
        return (varied[..., 0] if flat else varied).clamp(0, 1)
