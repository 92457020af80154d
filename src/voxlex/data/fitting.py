"""From an image file to its canvas, and from a canvas back to a scan like the one in the file."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voxlex.data.canvas import fit_to_canvas, restore_from_canvas
from voxlex.data.intensity import ConstantImageError, IntensityMap
from voxlex.data.pictures import read_picture
from voxlex.data.scans import Scan


class CanvasImage(NamedTuple):
    """An image on its canvas, `(size, size)` of `uint8` or `uint16`, and what is needed to take it off again."""

    pixels: np.ndarray
    height: int
    width: int
    intensity: IntensityMap

    def facts(self) -> dict[str, int | float]:
        """What a manifest says about the image besides its path."""
        intensity = self.intensity
        return {
            "height": self.height,
            "width": self.width,
            "bit_depth": intensity.bit_depth,
            "intensity_low": intensity.low,
            "intensity_high": intensity.high,
        }


def load_on_canvas(path: Path, *, size: int) -> CanvasImage:
    """Read one image, map its intensities and fit it to a canvas of `size × size` pixels.

    Raises:
        DataError: The image cannot be used; `ConstantImageError` if it has a single grey value.
    """
    picture = read_picture(path, reduce_to=size)
    try:
        intensity = IntensityMap.of(picture.pixels)
    except ConstantImageError as cause:
        raise ConstantImageError(f"{path}: {cause}") from cause
    fit = partial(fit_to_canvas, size=size, height=picture.height, width=picture.width)
    if intensity.bit_depth == 8:  # the map is the identity: staying in 8 bits is the fast road
        pixels = fit(picture.pixels)
    else:
        pixels = np.rint(fit(intensity.to_unit(picture.pixels)) * 65535).astype(np.uint16)
    return CanvasImage(pixels, picture.height, picture.width, intensity)


def restore_scan(image: np.ndarray, *, height: int, width: int, intensity: IntensityMap) -> Scan:
    """Undo `load_on_canvas`: cut the image out of its canvas and give it its own size, grey values and type.

    Args:
        image: `(size, size)`, floats in [0, 1].
        height: Height of the original in pixels.
        width: Width of the original in pixels.
        intensity: The map that the original went through.
    """
    pixels = restore_from_canvas(image.astype(np.float32), shape=(height, width))
    return Scan(voxels=intensity.from_unit(pixels))
