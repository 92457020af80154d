"""Restore scans from images in two steps: first to the grid of the scan, then to its grey values.

The first step works for any array: a reconstruction, a deviation, a probability or a label map. The second step is for
values in [0, 1] that represent grey values. It uses the map `origin.intensity`. `restore_scan` does both steps.
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
    """Resample arrays on the grid of the model to the grid of their scan.

    Args:
        images: The canvas of a picture, the canvases of all slices of a volume in the order of their index, or one
            cube. They may contain any numbers.
        origin: The origin of the canvases or of the cube.
        labels: Whether the values are labels or masks. If so, the nearest value is taken, and the type is kept.
            Otherwise values are interpolated linearly, and the results stay in their range.

    Returns:
        An array `(h, w)` for a picture, or `(x, y, z)` in canonical order for a volume. It is `float32` unless the
        values are labels, and 0 outside the cube.

    Raises:
        ValueError: If there are more or fewer arrays than the scan needs.
    """
    if origin.is_sliced:
        return origin.stack.assemble([restore_slice(image, origin, labels=labels) for image in images])
    if len(images) != 1:
        raise ValueError(f"images: expected one array for a {origin.view}, got {len(images)}")
    if origin.view == "picture":
        return restore_slice(images[0], origin, labels=labels)
    (shape, affine, _), (spacing_mm, centre) = origin.grid, origin.placed_cube
    return restore_from_cube(images[0], affine, shape=shape, spacing_mm=spacing_mm, centre=centre, labels=labels)


def restore_slice(image: Array, origin: Origin, *, labels: bool = False) -> Array:
    """Restore the pixels `(h, w)` of a picture, or of one slice of a volume, from a canvas; see `restore_grid`.

    Raises:
        ValueError: If the image is a cube.
    """
    if origin.view == "cube":
        raise ValueError("origin: expected a picture or slices, got a cube")
    values = image if labels else image.astype(np.float32, copy=False)
    height, width = origin.stack.slice_size_mm if origin.is_sliced else (None, None)
    shape = (origin.height, origin.width)
    return restore_from_canvas(values, shape=shape, height=height, width=width, labels=labels)


def restore_scan(images: Sequence[Array], origin: Origin) -> Scan:
    """Restore a scan on its own grid, with its own grey values and type; the inverse of `fit_scan` up to rounding.

    Args:
        images: Floats in [0, 1]; see `restore_grid`.
        origin: The origin of the images.

    Raises:
        ValueError: If slices are missing.
    """
    voxels = origin.intensity.from_unit(restore_grid(images, origin))
    stored = origin.stored
    if stored is not None and stored.dtype.kind in "ui" and stored.slope == 1 and voxels.dtype.kind == "f":
        np.rint(voxels, out=voxels)  # a file of integers stays one, even if 16 bits cannot hold them
    return replace(origin.place(voxels), stored=stored, missing=origin.missing)
