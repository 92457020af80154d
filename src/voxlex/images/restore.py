"""The way back, in two steps: arrays on the model's grid to the scan's own grid, and then to its grey values.

The first step is for any array: a reconstruction, a deviation, a probability, a map of labels. The second is for what
stands for grey values in [0, 1]; `origin.intensity` knows the map, and `restore_scan` takes both steps at once.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from voxlex.images.canvas import restore_from_canvas
from voxlex.images.cube import restore_from_cube
from voxlex.images.origin import Origin
from voxlex.scans.scan import Scan

Array = Shaped[np.ndarray, "..."]


def restore_grid(images: Sequence[Array], origin: Origin, *, labels: bool = False) -> Array:
    """Bring arrays on the model's grid home to the grid of the scan that they belong to.

    Args:
        images: One canvas of a picture, the canvases of all slices of a volume in the order of their index, or one
            cube; of any numbers.
        origin: What the canvases or the cube were made of.
        labels: Take the nearest value and keep the type, for labels and masks. Otherwise values are interpolated
            linearly, and no result lies outside their range.

    Returns:
        `(h, w)` of a picture, `(x, y, z)` of a volume in canonical order; `float32` but for labels. It is 0 where the
        cube did not reach.

    Raises:
        ValueError: If there are more or fewer arrays than the scan needs.
    """
    if origin.is_sliced:
        return origin.stack.assemble([restore_slice(image, origin, labels=labels) for image in images])
    if len(images) != 1:
        raise ValueError(f"expected one array for a {origin.view}, got {len(images)}")
    if origin.view == "picture":
        return restore_slice(images[0], origin, labels=labels)
    (shape, affine, _), (spacing_mm, centre) = origin.grid, origin.placed_cube
    return restore_from_cube(images[0], affine, shape=shape, spacing_mm=spacing_mm, centre=centre, labels=labels)


def restore_slice(image: Array, origin: Origin, *, labels: bool = False) -> Array:
    """Bring the canvas of a picture, or of one slice of a volume, home to its own pixels `(h, w)`; see `restore_grid`.

    Raises:
        ValueError: If `origin` is that of a cube.
    """
    if origin.view == "cube":
        raise ValueError("expected the origin of a picture or of slices, got that of a cube")
    values = image if labels else image.astype(np.float32, copy=False)
    height, width = origin.stack.slice_size_mm if origin.is_sliced else (None, None)
    shape = (origin.height, origin.width)
    return restore_from_canvas(values, shape=shape, height=height, width=width, labels=labels)


def restore_scan(images: Sequence[Array], origin: Origin) -> Scan:
    """Undo `fit_scan`: the scan on its own grid, in its own grey values and, but for rounding, type.

    Args:
        images: Floats in [0, 1]; see `restore_grid`.
        origin: Where they come from.

    Raises:
        ValueError: If slices are missing.
    """
    voxels = origin.intensity.from_unit(restore_grid(images, origin))
    stored = origin.stored
    if stored is not None and stored.dtype.kind in "ui" and stored.slope == 1 and voxels.dtype.kind == "f":
        np.rint(voxels, out=voxels)  # a file of whole numbers stays one, even where 16 bits do not hold them
    return replace(origin.place(voxels), stored=stored)
