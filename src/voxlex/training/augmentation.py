"""Random variations of training images, made by torchio and seen by training alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.types import Image


class Augmentation:
    """Flips, turns, rescales, and changes contrast and shading; anything that is 0 is left out.

    Args:
        flip: Share of images that are mirrored, left to right.
        degrees: Largest turn about each axis.
        scale: Largest change of size, as a share.
        gamma: Largest logarithm of the exponent that grey values are raised to.
        bias: Largest coefficient of the polynomial that shades an image.
        seed: Together with the step and the row, it decides how an image is varied.

    Raises:
        ValueError: If everything is 0.
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
        # Seconds of import: paid only by who augments.
        import torchio

        self.seed = seed
        self.flip = flip
        # Pictures are volumes of one slice to torchio, (1, h, w, 1): they turn within their plane, about its last axis.
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
        """Return variations of images, `(b, 1, *space)` in [0, 1]; the last axis is from right to left."""
        return torch.stack([self._vary(image, int(row), step) for image, row in zip(images, rows, strict=True)])

    def _vary(self, image: Tensor, row: int, step: int) -> Tensor:
        rng = np.random.default_rng([self.seed, step, row, 1])
        # torchio works in place here; its own copies would be of the whole batch that the image is a view of.
        image = image.flip(-1) if rng.random() < self.flip else image.clone()
        flat = image.ndim == 3
        with torch.random.fork_rng(devices=[]):  # torchio draws from the generator that all share
            torch.manual_seed(int(rng.integers(2**31)))
            varied = self._steps[2 if flat else 3](image[..., None] if flat else image)
        return (varied[..., 0] if flat else varied).clamp(0, 1)
