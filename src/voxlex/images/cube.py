"""Fit a volume of any shape and spacing to a cube of equal voxels around the head, and take it off again.

A cube `(z, y, x)` counts z from top to bottom, y from front to back and x from the subject's right to left, so that
`cube[k]` is an axial slice as 2D images show it: front up, the subject's right on the left. Its axes are those of the
scan, not of the scanner: planes are acquired along the anatomy more often than along the bore, and nothing is rotated.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from voxlex.errors import DataError
from voxlex.scans.grid import spacing_of
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

Cube = Float[np.ndarray, "size size size"]
Volume = Float[np.ndarray, "x y z"]

_SHARE_OF_LARGEST = 0.05  # a plane with less foreground than this, beside the fullest one, holds specks and no head
_ROUNDING = 1e-3  # in voxels of the cube, of which affines give the places only nearly
_FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in its standard deviations


def head_centre(volume: np.ndarray) -> tuple[float, float, float]:
    """Return the centre of the head in voxel indices: the middle of the foreground's bounding box.

    Foreground is what is brighter than the mean of the volume, and along each axis the box spans the planes that hold
    more than specks of it. The middle of the volume, where nothing is brighter than anything else.

    Args:
        volume: `(x, y, z)`, dark where there is no head.
    """
    foreground = volume > volume.mean(dtype=np.float64)
    centre = []
    for axis, length in enumerate(volume.shape):
        filled = foreground.sum(axis=tuple({0, 1, 2} - {axis}))
        inside = np.flatnonzero(filled > _SHARE_OF_LARGEST * filled.max())
        centre.append(float(inside[0] + inside[-1]) / 2 if len(inside) else (length - 1) / 2)
    return centre[0], centre[1], centre[2]


def fit_to_cube(
    volume: np.ndarray,
    affine: np.ndarray,
    *,
    size: int,
    spacing_mm: float,
    centre: Sequence[float] | None = None,
) -> Cube:
    """Resample a volume to a cube around the head: smoothed first where the cube is coarser, then linearly.

    Args:
        volume: `(x, y, z)` in canonical order (x to the right, y to the front, z to the top), of numbers that are 0
            where nothing is, such as the unit interval that `IntensityMap.to_unit` gives.
        affine: `(4, 4)`, voxel indices to mm; only the lengths of the steps along its axes matter.
        size: Voxels along each side of the cube.
        spacing_mm: Distance between them.
        centre: Voxel indices of the volume that come to lie in the middle of the cube; by default `head_centre`.

    Returns:
        `(size, size, size)` of `float32` in the order of a cube, within the range of the volume; 0 beyond the volume.
    """
    steps = _steps(affine, spacing_mm=spacing_mm)
    starts = _starts(head_centre(volume) if centre is None else centre, steps, size=size)
    smooth = _smooth(volume.astype(np.float32), steps)
    return to_cube_order(_look_up(smooth, starts=starts, steps=steps, shape=(size,) * 3))


def restore_from_cube(
    cube: Shaped[np.ndarray, "size size size"],
    affine: np.ndarray,
    *,
    shape: Sequence[int],
    spacing_mm: float,
    centre: Sequence[float],
    labels: bool = False,
) -> Shaped[np.ndarray, "x y z"]:
    """Undo `fit_to_cube`: resample a cube onto a volume's own grid; 0 where the cube did not reach.

    Where the volume's spacing is that of the cube or a multiple of it, every voxel that the cube holds comes back
    exactly.

    Args:
        cube: `(size, size, size)` in the order of a cube.
        affine: `(4, 4)` of the volume.
        shape: Shape of the volume, `(x, y, z)`.
        spacing_mm: Distance between the voxels of the cube.
        centre: Voxel indices of the volume in the middle of the cube: its `head_centre`, where none was chosen.
        labels: Give each voxel the label nearest to its centre, and keep the type of the labels.

    Returns:
        `shape`, of `float32` but for labels, in canonical order.
    """
    steps = _steps(affine, spacing_mm=spacing_mm)
    starts = _starts(centre, steps, size=len(cube))
    if labels:
        return _nearest(from_cube_order(cube), starts=starts, steps=steps, shape=shape)
    backwards = [-start / step for start, step in zip(starts, steps, strict=True)]
    # No smoothing here: along an axis on which the volume is the coarser, its voxels are among those of the cube.
    own = from_cube_order(cube.astype(np.float32))
    return _look_up(own, starts=backwards, steps=[1 / step for step in steps], shape=shape)


def region_in_cube(
    region: Bool[np.ndarray, "x y z"],
    affine: np.ndarray,
    *,
    size: int,
    spacing_mm: float,
    centre: Sequence[float],
) -> Bool[np.ndarray, "size size size"]:
    """Find the voxels of a cube that decide what a region of a volume becomes on the way back, and all between them.

    Args:
        region: In canonical order.
        affine: `(4, 4)` of the volume.
        size: Voxels along each side of the cube.
        spacing_mm: Distance between them.
        centre: Voxel indices of the volume in the middle of the cube.

    Returns:
        In the order of a cube.

    Raises:
        DataError: If the region reaches beyond the cube.
    """
    steps = _steps(affine, spacing_mm=spacing_mm)
    starts = _starts(centre, steps, size=size)
    found, within = region.astype(np.float32), region
    for axis, (start, step) in enumerate(zip(starts, steps, strict=True)):
        places = (np.arange(region.shape[axis]) - start) / step  # of the volume's voxels, in voxels of the cube
        held = (places > -_ROUNDING) & (places < size - 1 + _ROUNDING)
        within = within & np.expand_dims(held, tuple({0, 1, 2} - {axis}))
        # As far as linear interpolation reaches, on the grid that is the coarser along this axis.
        made_of = np.abs(places[:, None] - np.arange(size)) < max(1.0, 1 / step) - _ROUNDING
        found = np.moveaxis(np.tensordot(found, made_of.astype(np.float32), axes=(axis, 0)), -1, axis)
    beyond = int(region.sum() - within.sum())
    if beyond:
        cube = f"the cube of {size * spacing_mm:g} mm around the middle of the head, which is what the model sees"
        raise DataError(f"{beyond} of {int(region.sum())} voxels lie beyond {cube}")
    return to_cube_order(found > 0)


def to_cube_order(volume: np.ndarray) -> np.ndarray:
    """Turn `(x, y, z)` in canonical order into `(z, y, x)` from top to bottom, front to back, right to left."""
    return np.ascontiguousarray(volume[::-1, ::-1, ::-1].transpose(2, 1, 0))


def from_cube_order(cube: np.ndarray) -> np.ndarray:
    """Undo `to_cube_order`."""
    return np.ascontiguousarray(cube[::-1, ::-1, ::-1].transpose(2, 1, 0))


def cube_affine(size: int, *, spacing_mm: float) -> Float[np.ndarray, "4 4"]:
    """Return the affine of a volume `from_cube_order` that has no place of its own: its middle lies at 0 mm."""
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = -spacing_mm * (size - 1) / 2
    return affine


def cube_as_scan(cube: np.ndarray, *, spacing_mm: float, centre_mm: Sequence[float] = (0.0, 0.0, 0.0)) -> Scan:
    """Return a cube `(z, y, x)` of grey values as a volume that stands for itself.

    Args:
        cube: Grey values.
        spacing_mm: Distance between voxels.
        centre_mm: Where the middle of the cube lies.
    """
    affine = cube_affine(len(cube), spacing_mm=spacing_mm)
    affine[:3, 3] += centre_mm
    return Scan(voxels=from_cube_order(cube), spacing_mm=(spacing_mm,) * 3, affine=affine)


def write_cube(
    path: str | Path, cube: np.ndarray, *, spacing_mm: float, centre_mm: Sequence[float] = (0.0, 0.0, 0.0)
) -> None:
    """Write a cube as a scan file of its own; see `cube_as_scan` and `write_scan`."""
    write_scan(path, cube_as_scan(cube, spacing_mm=spacing_mm, centre_mm=centre_mm))


def _steps(affine: np.ndarray, *, spacing_mm: float) -> list[float]:
    """How many voxels of the volume one voxel of the cube advances, along each axis."""
    return [spacing_mm / length for length in spacing_of(np.asarray(affine))]


def _starts(centre: Sequence[float], steps: Sequence[float], *, size: int) -> list[float]:
    """Voxel index of the volume at which the cube begins, along each axis.

    A whole number, which moves the cube by half a voxel of the volume at most: so grids of one spacing coincide.
    """
    return [float(round(middle - step * (size - 1) / 2)) for middle, step in zip(centre, steps, strict=True)]


def _smooth(volume: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    """Take away what a cube of larger steps cannot hold.

    A voxel is taken for a Gaussian as wide as its side at half maximum; this makes the finer one as wide as the coarser
    (Cardoso et al., Scale factor point spread function matching, MICCAI 2015).
    """
    for axis, step in enumerate(steps):
        if step > 1:
            volume = ndimage.gaussian_filter1d(volume, np.sqrt(step**2 - 1) / _FWHM, axis=axis, mode="constant")
    return volume


def _look_up(volume: np.ndarray, *, starts: Sequence[float], steps: Sequence[float], shape: Sequence[int]) -> Volume:
    """Interpolate a volume linearly at `start + i·step` along each axis; 0 outside."""
    return ndimage.affine_transform(
        volume, np.asarray(steps), offset=np.asarray(starts), output_shape=tuple(shape), order=1, mode="grid-constant"
    )


def _nearest(cube: np.ndarray, *, starts: Sequence[float], steps: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Look up the voxel of a cube, in canonical order, that is nearest to each voxel of a volume; 0 beyond the cube."""
    held, found = [], []
    for length, start, step, size in zip(shape, starts, steps, cube.shape, strict=True):
        nearest = np.floor((np.arange(length) - start) / step + 0.5).astype(int)
        held.append((nearest >= 0) & (nearest < size))
        found.append(nearest[held[-1]])
    volume = np.zeros(shape, cube.dtype)
    volume[np.ix_(*held)] = cube[np.ix_(*found)]
    return volume
