"""Small folders of pictures for the tests of `voxlex.data`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(seed: int = 0, *, height: int = 24, width: int = 24) -> np.ndarray:
    """Smooth 8-bit grey values that differ from seed to seed and fill most of the range."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.sin(rows / rng.uniform(2, 6) + rng.uniform(0, 6)) + np.cos(
        columns / rng.uniform(2, 6) + rng.uniform(0, 6)
    )
    return np.rint((waves + 2) / 4 * 250).astype(np.uint8)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write `count` PNG pictures, named by `pattern`, into a fresh folder."""

    def make(count: int, *, pattern: str = "{:03d}.png", name: str = "source") -> Path:
        folder = tmp_path / name
        for number in range(count):
            path = folder / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number)).save(path)
        return folder

    return make
