"""The batch size that suits a device."""

from dataclasses import replace
from typing import TypeVar

from voxlex.config import StageConfig

StageT = TypeVar("StageT", bound=StageConfig)

_SMALL = 4
"""Images in a step on a CPU, where the time of a step grows with them, and many steps matter most."""

_PIXELS = 2**19
"""Pixels or voxels of a step on a GPU, 32 images of 128×128. On an H200, it takes 1.6 times as long as 4 images."""

_MOST_ON_GPU = 64
_STEPS_A_PASS = 8  # at least, so that few images are not always seen together


def sized(stage: StageT, *, device: str, pixels: int, rows: int) -> StageT:
    """Return the settings of a stage with a number as the batch size.

    A number that is given stays. With "auto", a step has 4 images, and on a CUDA GPU as many as make 2¹⁹ pixels or
    voxels, between 4 and 64. The learning rate stays the same. Rules that raise it for larger batches (Krizhevsky,
    1404.5997) begin at a low rate, and here it is high already.

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
    return replace(stage, batch_size=max(min(_PIXELS // pixels, _MOST_ON_GPU, rows // _STEPS_A_PASS), _SMALL))


def number_of(stage: StageConfig) -> int:
    """Return the batch size of a stage as a number, the one for a CPU if it is "auto"."""
    return _SMALL if stage.batch_size == "auto" else stage.batch_size
