"""Pictures made by code, for tests that need scans."""

import numpy as np


def picture(seed: int = 0, *, height: int = 24, width: int = 24) -> np.ndarray:
    """Smooth 8-bit grey values over most of the range; seeds differ as much as the slices of two people do."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    angles, lengths, phases = rng.uniform(0, np.pi, 5), rng.uniform(6, 20, 5), rng.uniform(0, 2 * np.pi, 5)
    across = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    waves = np.sin(2 * np.pi * across / lengths[:, None, None] + phases[:, None, None]).sum(axis=0)
    return np.rint((waves / 5 + 1) / 2 * 250).astype(np.uint8)
