"""Thumbnails, by which images are compared."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

ROWS, COLUMNS = 32, 34
"""Shape of a thumbnail. 2 × 2 pixels of it become one pixel of the 16 × 17 grid of a difference hash."""


def thumbnail(canvas: np.ndarray) -> Float[np.ndarray, "32 34"]:
    """Reduce an image to 32 × 34 means over areas, scaled to [0, 1].

    Args:
        canvas: Image `(h, w)` of `uint8` or `uint16`, or of floats in [0, 1], with sides of 8 or more. The middle slice
            of a volume `(d, h, w)` is used.
    """
    plane = canvas if canvas.ndim == 2 else canvas[canvas.shape[0] // 2]
    full_scale = float(np.iinfo(plane.dtype).max) if plane.dtype.kind == "u" else 1.0
    height, width = plane.shape
    means: np.ndarray = _means(height, ROWS) @ plane.astype(np.float32) @ _means(width, COLUMNS).T
    return means / np.float32(full_scale)


@lru_cache(maxsize=64)
def _means(pixels: int, cells: int) -> np.ndarray:
    """Return weights `(cells, pixels)` that average pixels over cells of equal width. A pixel may lie in two cells."""
    edges, starts = np.linspace(0, pixels, cells + 1), np.arange(pixels)
    shared = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights = shared.clip(0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
