"""Turn a scan into the images that a model sees. The inverse is in `restore.py`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, naming
from voxlex.images.canvas import fit_to_canvas
from voxlex.images.cube import covering_side, fit_to_cube, head_centre
from voxlex.images.frame import Frame
from voxlex.images.intensity import ConstantImageError, IntensityMap
from voxlex.images.origin import Origin
from voxlex.images.resampling import forwards
from voxlex.images.stack import Stack, seen_along
from voxlex.scans.formats.pictures import MIN_SIDE, read_picture
from voxlex.scans.grid import acquired_plane
from voxlex.scans.places import Place, scan_at
from voxlex.scans.read_write import check_picture
from voxlex.scans.scan import Scan
from voxlex.scans.suffixes import IMAGE_SUFFIXES, suffix_of


class Fitted(NamedTuple):
    """The images of one scan, and the facts that restore the scan from them.

    Attributes:
        images: Canvases `(size, size)` or cubes `(size, size, size)`, of `uint8` or `uint16`.
        origin: The origin of the images.
        slices: For slices of a volume, the index of each along the axis.
        notes: What a user should know of the images.
    """

    images: list[np.ndarray]
    origin: Origin
    slices: list[int] | None = None
    notes: tuple[str, ...] = ()


def fit_scan(place: Place, frame: Frame, reading: ReadingOptions | None = None) -> Fitted:
    """Read a scan and make images of it: one from a picture, and slices or one cube from a volume.

    A volume has one intensity map for all of its slices. A volume of one slice is seen in the plane of this slice,
    whichever axis the frame asks for. Slices with a single grey value are left out, unless the frame
    asks for whole volumes.

    Args:
        place: The scan.
        frame: How the scan becomes images.
        reading: What to read of a scan that leaves a choice.

    Raises:
        DataError: If the scan cannot be used. This is a `ConstantImageError` if all of its grey values are equal.
    """
    reading = reading or ReadingOptions()
    with naming(str(place)):
        if isinstance(place, Path) and suffix_of(place) in IMAGE_SUFFIXES and frame.spatial_dims == 2:
            check_picture(place, volume=reading.volume, series=reading.series)
            pixels, height, width, missing = read_picture(place, reduce_to=frame.size, nan=reading.nan)
            return _fit_picture(Scan(voxels=pixels, missing=missing), height=height, width=width, frame=frame)
        return fit_voxels(scan_at(place, reading), frame)


def fit_voxels(scan: Scan, frame: Frame) -> Fitted:
    """Make images of a scan; see `fit_scan`.

    Raises:
        DataError: If the scan cannot be used. This is a `ConstantImageError` if all of its grey values are equal.
    """
    if frame.spatial_dims == 3:
        fitted = _fit_cube(scan, frame)
    elif scan.is_volume:
        fitted = _fit_slices(scan, frame)
    else:
        height, width = scan.voxels.shape
        fitted = _fit_picture(scan, height=height, width=width, frame=frame)
    return fitted._replace(notes=(*scan.notes, *fitted.notes))


def fit_whole(scan: Scan, frame: Frame, *, multiple_of: int) -> Fitted:
    """Make images of all of a scan, so that it can be restored: a picture, every slice, or one cube; see `fit_scan`.

    Args:
        scan: The scan.
        frame: How it becomes images. If a cube of its size is too small for the scan, a larger one is made.
        multiple_of: Number that divides the side of a larger cube.

    Raises:
        DataError: If the scan cannot be used. This is a `ConstantImageError` if all of its grey values are equal.
    """
    size = frame.size
    if frame.spatial_dims == 3 and scan.is_volume:
        side = max(size, covering_side(scan, spacing_mm=frame.spacing_mm or 1.0))
        size = ceil(side / multiple_of) * multiple_of
    return fit_voxels(scan, replace(frame, size=size, whole=True))


def _fit_picture(scan: Scan, *, height: int, width: int, frame: Frame) -> Fitted:
    intensity = IntensityMap.of(scan)
    fit = partial(fit_to_canvas, size=frame.size, height=height, width=width)
    origin = Origin(view="picture", height=height, width=width, intensity=intensity, missing=scan.missing)
    return Fitted([_fit(scan.voxels, intensity, fit)], origin)


def _fit_slices(scan: Scan, frame: Frame) -> Fitted:
    origin = Origin.of_slices(scan, seen_along(scan.voxels.shape, otherwise=frame.slices.axis))
    stack, fit = origin.stack, partial(origin.stack.to_canvas, size=frame.size)
    if min(origin.height, origin.width) < MIN_SIDE:
        expected = f"expected {stack.axis} slices of at least {MIN_SIDE}×{MIN_SIDE} pixels"
        raise DataError(f"{expected}, got {origin.height}×{origin.width}; try another axis")
    images: list[np.ndarray] = []
    kept: list[int] = []
    for index in range(len(stack)) if frame.whole else stack.choose(scan.voxels, frame.slices):
        pixels = stack.slice(scan.voxels, index)
        if frame.whole or _varies(pixels):
            images.append(_fit(pixels, origin.intensity, fit))
            kept.append(index)
    if not kept:
        raise ConstantImageError(f"all chosen {stack.axis} slices are constant")
    return Fitted(images, origin, kept, _coarse(stack))


def _coarse(stack: Stack) -> tuple[str, ...]:
    """Say that slices are made of long voxels, since the volume was acquired in another plane."""
    plane = acquired_plane(stack.shape, stack.spacing_mm)
    if plane in (None, stack.axis):
        return ()
    longest = max(stack.spacing_mm)
    return (f"acquired in the {plane} plane, so pixels of its {stack.axis} slices are {longest:.3g} mm long",)


def _fit_cube(scan: Scan, frame: Frame) -> Fitted:
    if not scan.is_volume:
        raise DataError("expected a volume, got a picture")
    middle = None if frame.whole else head_centre(scan.voxels)
    origin = Origin.of_cube(scan, centre=middle, spacing_mm=frame.spacing_mm or 1.0)
    spacing_mm, centre = origin.placed_cube
    unit = origin.intensity.to_unit(scan.voxels)
    cube = fit_to_cube(unit, origin.grid.affine, size=frame.size, spacing_mm=spacing_mm, centre=centre)
    return Fitted([_deep(cube)], origin)


def _fit(pixels: np.ndarray, intensity: IntensityMap, fit: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if (intensity.low, intensity.high, intensity.bit_depth) == (0, 255, 8):  # the identity map needs no floats
        return fit(pixels)
    return _deep(fit(intensity.to_unit(pixels)))


def _varies(pixels: np.ndarray) -> bool:
    straight = forwards(pixels)
    return bool(straight.min() < straight.max())


def _deep(unit: np.ndarray) -> np.ndarray:
    return np.rint(unit * 65535).astype(np.uint16)
