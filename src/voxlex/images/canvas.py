"""Fit an image of any size onto a square canvas, and take it off again."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from voxlex.images.resampling import resample


class Placement(NamedTuple):
    """Where on the canvas an image lies: its top left corner and its size there, in canvas pixels."""

    top: int
    left: int
    height: int
    width: int


def placement(height: float, width: float, *, size: int) -> Placement:
    """Place an image of `height × width`, in pixels or in mm, on a canvas of `size × size` pixels.

    The longer side fills the canvas, the aspect is kept, and the image is centred (the odd pixel goes below and to the
    right).
    """
    scale = size / max(height, width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    return Placement((size - inner_height) // 2, (size - inner_width) // 2, inner_height, inner_width)


def fit_to_canvas(
    pixels: np.ndarray, *, size: int, height: float | None = None, width: float | None = None
) -> np.ndarray:
    """Resize an image to a square canvas with zeros around it.

    Args:
        pixels: `(h, w)`, `uint8` or `float32`.
        size: Side of the canvas in pixels.
        height: Height that decides the placement, where `pixels` is a reduced version of the image, or its pixels are
            not square; default `h`.
        width: Width that decides the placement; default `w`.

    Returns:
        `(size, size)` of the type of `pixels`.
    """
    top, left, inner_height, inner_width = placement(height or pixels.shape[0], width or pixels.shape[1], size=size)
    canvas = np.zeros((size, size), pixels.dtype)
    canvas[top : top + inner_height, left : left + inner_width] = _resize(pixels, inner_height, inner_width)
    return canvas


def restore_from_canvas(
    canvas: np.ndarray,
    *,
    shape: tuple[int, int],
    height: float | None = None,
    width: float | None = None,
    labels: bool = False,
) -> np.ndarray:
    """Cut an image out of its canvas and resize it to its own pixels.

    Args:
        canvas: `(size, size)`, `uint8` or `float32`; labels may be of any type.
        shape: Height and width of the image in pixels.
        height: Height that decided the placement; default that of `shape`.
        width: Width that decided the placement.
        labels: Give each pixel the label nearest to its centre, rather than a mean of its neighbours.

    Returns:
        `shape`, of the type of `canvas`.
    """
    top, left, inner_height, inner_width = placement(height or shape[0], width or shape[1], size=canvas.shape[0])
    inner = canvas[top : top + inner_height, left : left + inner_width]
    return _nearest(inner, *shape) if labels else _resize(inner, *shape)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape == (height, width):
        return pixels
    # The triangle filter, widened when reducing: no aliasing, and unlike cubic filters it never leaves the range of its
    # input, so dark halos do not appear around bright skulls and the intensity map stays exact.
    if pixels.dtype == np.float32:
        return resample(pixels, height=height, width=width)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def _nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[np.ix_(rows, columns)]
