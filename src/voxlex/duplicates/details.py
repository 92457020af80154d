"""The anatomy of an image without its outline and shading, as a vector whose inner products are correlations.

The coarse structure of all heads is similar: axial slices of two people at the same height correlate at up to 0.98.
Fine structure tells people apart, so the coarse part is removed. In terms of the cosine transform (DCT-II, orthonormal)
`C` of a thumbnail, with frequencies `u` in cycles per pixel times two,

    detail = C · (1 - exp(-π² (u_r² + u_c²) s² / 2)) / ‖…‖,    s = 2 pixels,

which is the image minus its blur by a Gaussian of width `s`. Flips only change signs in it, `(-1)^k` for frequency
number `k`.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from voxlex.duplicates.thumbnails import COLUMNS, ROWS

BLUR = 2.0
"""Standard deviation of the blur that is subtracted, in thumbnail pixels."""

SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32)
"""Signs of the `parity_classes` of an image under each flip, in the order of `hashes.FLIPS`."""

_FLAT = 1 / 255
"""Thumbnails with a smaller standard deviation do not have enough contrast for a comparison."""


def details_of(thumbnails: Float[np.ndarray, "n 32 34"]) -> Float[np.ndarray, "n 32 34"]:
    """Return the details of each image as a unit vector, or as zeros for an image with hardly any contrast."""
    rows, columns, weights = _transform()
    pictures = thumbnails.astype(np.float32)
    across = (pictures.reshape(-1, COLUMNS) @ columns.T).reshape(pictures.shape)
    spectra = (rows @ across) * weights
    lengths = np.linalg.norm(spectra, axis=(1, 2), keepdims=True)
    lengths[pictures.std(axis=(1, 2)) < _FLAT] = np.inf
    unit: np.ndarray = spectra / np.maximum(lengths, 1e-12)
    return unit


def parity_classes(details: Float[np.ndarray, "n 32 34"]) -> Float[np.ndarray, "n 4 272"]:
    """Group the frequencies by parity: none odd, columns odd, rows odd, both odd.

    A flip multiplies all frequencies of a class by one sign, see `SIGNS`. So the correlations of two images under all
    flips are sums of four inner products.
    """
    shape = (len(details), 1, ROWS // 2 * COLUMNS // 2)
    return np.concatenate([details[:, row::2, column::2].reshape(shape) for row in (0, 1) for column in (0, 1)], axis=1)


@lru_cache(maxsize=1)
def _transform() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.fft import dct

    rows, columns = (dct(np.eye(n), axis=0, norm="ortho").astype(np.float32) for n in (ROWS, COLUMNS))
    squared = (np.arange(ROWS)[:, None] / ROWS) ** 2 + (np.arange(COLUMNS)[None] / COLUMNS) ** 2
    return rows, columns, (1 - np.exp(-0.5 * np.pi**2 * BLUR**2 * squared)).astype(np.float32)
