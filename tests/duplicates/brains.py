"""Images with anatomy enough to be compared: slices of a few pseudo-subjects."""

from functools import lru_cache

import numpy as np

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import generate_subject


@lru_cache(maxsize=4)
def brains(subjects: int = 12, *, slices: int = 6) -> np.ndarray:
    """Slices of pseudo-subjects, `(subjects, slices, 64, 64)` of `uint8`."""
    options = PhantomOptions(slices=slices)
    images = [generate_subject(subject, size=64, options=options)[:, 0] for subject in range(subjects)]
    return np.rint(np.stack([slices.numpy() for slices in images]) * 255).astype(np.uint8)


def flipped(images: np.ndarray, flip: int) -> np.ndarray:
    """Lay images `(n, h, w)` on themselves in the way number `flip` of `FLIPS`."""
    images = images[:, :, ::-1] if flip & 1 else images
    return images[:, ::-1] if flip & 2 else images
