"""Pictures of the samples that come closest to a training image, for a person to decide whether they are copies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image as Picture
from torch import Tensor

from voxlex.evaluation.generation.memorisation import Pair
from voxlex.pages.pictures import draw_samples, sample_sheet, triptych
from voxlex.types import Image

Nearest = Float[Tensor, "p c *space"]
"""The training image of each pair."""


def draw_pairs(samples: Image, nearest: Nearest, pairs: Sequence[Pair]) -> Picture:
    """Draw for each pair the training image, the sample and their difference, with their distance below.

    Differences are on the scale of reconstructions, ±0.1: black where equal, blue where the sample is darker, orange
    where it is brighter.

    Args:
        samples: All samples in [0, 1], `(n, c, h, w)`.
        nearest: The training image of each pair, in the order of `pairs`.
        pairs: What to draw, such as the first of `GenerationReport.pairs`.
    """
    return draw_samples(_triptychs(samples, nearest, pairs), captions=pair_captions(pairs))


def pair_sheet(path: str | Path, samples: Image, nearest: Nearest, pairs: Sequence[Pair]) -> None:
    """Write the picture of `draw_pairs` as PNG.

    Raises:
        DataError: The file cannot be written.
    """
    sample_sheet(path, _triptychs(samples, nearest, pairs), captions=pair_captions(pairs))


def pair_captions(pairs: Sequence[Pair], *, training: Sequence[str] | None = None) -> list[str]:
    """Return "training image 7 · sample 3 · distance 0.012" for each pair.

    Args:
        pairs: To be described.
        training: What every training image is called, to be said in place of its number.
    """
    names = [f"training image {pair.training}" if training is None else training[pair.training] for pair in pairs]
    return [
        f"{name} · sample {pair.sample} · distance {pair.distance:.3f}" for name, pair in zip(names, pairs, strict=True)
    ]


def _triptychs(samples: Image, nearest: Nearest, pairs: Sequence[Pair]) -> Float[Tensor, "n 3 h w"]:
    drawn = [triptych(image, samples[pair.sample]).convert("RGB") for image, pair in zip(nearest, pairs, strict=True)]
    pixels = [torch.from_numpy(np.array(picture)).movedim(-1, 0) for picture in drawn]
    return torch.stack(pixels).float() / 255 if pixels else samples.new_zeros(0, 3, 1, 1)
