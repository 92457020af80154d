"""The difference hash: 256 bits that show where the brightness of an image rises from left to right."""

import numpy as np
from jaxtyping import Float, Int, UInt64

BITS = 256

FLIPS = ("as it is", "left-right", "up-down", "turned by 180°")
"""The four flips of an image that are compared."""

MARGIN = 0.04
"""Share of an image's standard deviation by which a pixel must be brighter than its left neighbour."""

_ONES = np.array([bin(word).count("1") for word in range(1 << 16)], dtype=np.uint8)


def hashes_of_flips(thumbnails: Float[np.ndarray, "n 32 34"]) -> UInt64[np.ndarray, "4 n 4"]:
    """Hash images to 256 bits each, as they are and in the other `FLIPS`.

    The thumbnail is averaged to `16 × 17` pixels `g`. Bit `(r, c)` is `g[r, c+1] - g[r, c] > MARGIN · σ(g)`. Without
    the margin, the bits in a black background would depend on noise. The margin is proportional to `σ`, so that the
    hash does not depend on brightness and contrast.
    """
    pictures = thumbnails.astype(np.float32)
    pairs = pictures[:, ::2] + pictures[:, 1::2]
    grid = (pairs[:, :, ::2] + pairs[:, :, 1::2]) / 4
    margin = MARGIN * grid.std(axis=(1, 2), keepdims=True)
    rise = np.diff(grid, axis=2)
    # In a mirrored image, a rise from left to right becomes a fall.
    bits = np.stack([rise > margin, -rise[:, :, ::-1] > margin])
    bits = np.concatenate([bits, bits[:, :, ::-1]])
    return np.packbits(bits.reshape(len(FLIPS), len(grid), BITS), axis=2).view(np.uint64)


def differing_bits(first: UInt64[np.ndarray, "n 4"], second: UInt64[np.ndarray, "n 4"]) -> Int[np.ndarray, " n"]:
    """Count the bits in which hashes differ, row by row."""
    words = np.ascontiguousarray(first ^ second).view(np.uint16)
    counts: np.ndarray = _ONES[words].sum(axis=1, dtype=np.int16)
    return counts
