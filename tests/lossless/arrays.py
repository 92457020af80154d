"""Arrays to code, made by integer arithmetic, so that they are the same with every version of numpy."""

import numpy as np

from voxlex.lossless.blocks import Blocks, draw_blocks


def noise(count: int, seed: int = 1) -> np.ndarray:
    """Return numbers from 0 to 65,535 of a linear congruential generator."""
    state, numbers = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        numbers.append(state >> 48)
    return np.array(numbers, np.int64)


def picture(height: int = 40, width: int = 48, *, seed: int = 1, dtype: str = "u1") -> np.ndarray:
    """Return a bright disc with texture and noise on a dark ground."""
    y, x = np.mgrid[:height, :width]
    inside = (2 * y - height) ** 2 * width**2 + (2 * x - width) ** 2 * height**2 < (height * width) ** 2 * 3 // 4
    texture = 60 + 2 * x + (y * x) // 16 % 24 + noise(height * width, seed).reshape(height, width) // 8192
    return np.where(inside, texture, 3).astype(dtype)


def volume(slices: int = 4, *, dtype: str = "i2") -> np.ndarray:
    """Return slices of one object, each a little different and with noise of its own."""
    planes = [picture(24, 28, seed=7).astype(np.int64) * 9 + z * 5 for z in range(slices)]
    grain = noise(slices * 24 * 28, 5).reshape(slices, 24, 28) // 16384
    return (np.stack(planes) + grain - 400).astype(dtype)


def former_jpeg(rows: int = 6, columns: int = 7, *, quality: int = 60) -> np.ndarray:
    """Return a picture drawn from few coefficients a block."""
    multiples = np.zeros((rows, columns, 8, 8), np.int64)
    numbers = noise(rows * columns * 5, 3).reshape(rows, columns, 5)
    multiples[..., 0, 0] = numbers[..., 0] // 3000 - 10
    for k, (u, v) in enumerate([(0, 1), (1, 0), (1, 1), (2, 0)]):
        multiples[..., u, v] = numbers[..., k + 1] // 8192 - 4
    return draw_blocks(Blocks(quality, multiples), (rows * 8, columns * 8))
