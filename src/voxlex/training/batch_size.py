"""The batch size and the learning rate that suit a device."""

from dataclasses import replace
from typing import TypeVar

from voxlex.config import StageConfig

StageT = TypeVar("StageT", bound=StageConfig)

_SMALL = 4
"""Images in a step on a CPU, where the time of a step grows with them, and many steps matter most."""

_PIXELS = 2**19
"""Pixels or voxels of a step on a GPU, 32 images of 128×128: it computes fewer in hardly less time."""

_MOST_ON_GPU = 64
_PASSES = 8  # a GPU takes at least so many steps to go through all images once


def sized(stage: StageT, *, device: str, pixels: int, rows: int) -> StageT:
    """Return the settings of a stage with a number as the batch size, and the learning rate that belongs to it.

    A batch size that is given as a number stays, with its learning rate. With "auto", a step has 4 images. On a CUDA
    GPU it has as many as make 2¹⁹ pixels or voxels, between 4 and 64, and the learning rate grows with the fourth root
    of the batch size. A root, because the mean of more gradients is less noisy; the fourth and not the square root of
    Krizhevsky (1404.5997), because the rates for 4 images are already high.

    Args:
        stage: Settings of the stage.
        device: Type of the device, such as "cpu" or "cuda".
        pixels: Pixels or voxels of an image.
        rows: Number of training images for each device. With few of them, batches stay small.
    """
    if stage.batch_size != "auto":
        return stage
    if device != "cuda":
        return replace(stage, batch_size=_SMALL)
    images = max(min(_PIXELS // pixels, _MOST_ON_GPU, rows // _PASSES), _SMALL)
    return replace(stage, batch_size=images, learning_rate=stage.learning_rate * (images / _SMALL) ** 0.25)


def number_of(stage: StageConfig) -> int:
    """Return the batch size of a stage as a number, the one for a CPU if it is "auto"."""
    return _SMALL if stage.batch_size == "auto" else stage.batch_size
