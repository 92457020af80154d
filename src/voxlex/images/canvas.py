"""Fit an image of any size onto a square canvas, and restore it from the canvas."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from voxlex.images.resampling import resample


class Placement(NamedTuple):
    """The position of an image on its canvas: the top left corner and the size, in canvas pixels."""

    top: int
    left: int
    height: int
    width: int


def placement(height: float, width: float, *, size: int) -> Placement:
    """Place an image of `height × width`, in pixels or in mm, on a canvas of `size × size` pixels.

    The longer side fills the canvas, and the aspect ratio is kept. The image is centred. An odd pixel is added below or
    to the right.
    """
    scale = size / max(height, width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    return Placement((size - inner_height) // 2, (size - inner_width) // 2, inner_height, inner_width)


def fit_to_canvas(
    pixels: np.ndarray, *, size: int, height: float | None = None, width: float | None = None
) -> np.ndarray:
    """Resize an image, and place it on a square canvas with zeros around it.

    Args:
        pixels: `(h, w)`, `uint8` or `float32`.
        size: Side of the canvas in pixels.
        height: Height that determines the placement, if `pixels` is a reduced version of the image or the pixels are
            not square; by default `h`.
        width: Width that determines the placement; by default `w`.

    Returns:
        A canvas `(size, size)` with the type of `pixels`.
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
    """Cut an image out of its canvas, and resize it to its original size.

    Args:
        canvas: `(size, size)`, `uint8` or `float32`. Labels may have any type.
        shape: Height and width of the image in pixels.
        height: Height that determined the placement; by default that of `shape`.
        width: Width that determined the placement; by default that of `shape`.
        labels: Whether each pixel gets the label nearest to its centre, rather than a mean of its neighbours.

    Returns:
        An image of shape `shape` with the type of `canvas`.
    """
    top, left, inner_height, inner_width = placement(height or shape[0], width or shape[1], size=canvas.shape[0])
    inner = canvas[top : top + inner_height, left : left + inner_width]
    return _nearest(inner, *shape) if labels else _resize(inner, *shape)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape == (height, width):
        return pixels
    # The triangle filter is wider when reducing, which avoids aliasing. Unlike cubic filters, it never leaves the range
    # of its input. So dark halos do not appear around bright skulls, and the intensity map stays exact.
    if pixels.dtype == np.float32:
        return resample(pixels, height=height, width=width)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def _nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[np.ix_(rows, columns)]
