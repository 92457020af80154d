"""Fit a volume of any shape and spacing to a cube around the head, and restore it from the cube.

In a cube `(z, y, x)`, z runs from top to bottom, y from front to back, and x from the subject's right to the left. So
`cube[k]` is an axial slice in the orientation of 2D images: the front is up, and the subject's right is on the left.
The axes are those of the scan rather than of the scanner, because most scans are aligned with the anatomy. Nothing is
rotated.
"""

from collections.abc import Sequence
from math import ceil
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

_SHARE_OF_LARGEST = 0.05  # planes with a smaller share of the foreground of the fullest plane contain only specks
_ROUNDING = 1e-3  # in voxels of the cube; positions from affines are inexact
_FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in units of its standard deviation


def head_centre(volume: np.ndarray) -> tuple[float, float, float]:
    """Return the centre of the head in voxel indices: the middle of the foreground's bounding box.

    The foreground is brighter than the mean of the volume. Along each axis, the box spans the planes with more than
    specks of foreground. For a constant volume, the result is the middle of the volume.

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


def covering_side(scan: Scan, *, spacing_mm: float) -> int:
    """Return the side of a cube around the middle of a volume that contains all of it, in voxels of `spacing_mm`."""
    steps = scan.spacing_mm or (1.0, 1.0, 1.0)
    longest_mm = max(count * step for count, step in zip(scan.voxels.shape, steps, strict=True))
    return ceil(longest_mm / spacing_mm) + 1


def fit_to_cube(
    volume: np.ndarray,
    affine: np.ndarray,
    *,
    size: int,
    spacing_mm: float,
    centre: Sequence[float] | None = None,
) -> Cube:
    """Resample a volume linearly to a cube around the head. The volume is smoothed first if the cube is coarser.

    Args:
        volume: `(x, y, z)` in canonical order (x to the right, y to the front, z to the top), with 0 as background,
            such as values in [0, 1] from `IntensityMap.to_unit`.
        affine: `(4, 4)` map from voxel indices to mm, of which only the distances between voxels matter.
        size: Number of voxels along each side of the cube.
        spacing_mm: Distance between voxels of the cube.
        centre: Voxel indices of the volume that lie in the middle of the cube; by default `head_centre`.

    Returns:
        A cube `(size, size, size)` of `float32` within the range of the volume. It is 0 outside the volume.
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
    """Resample a cube to the grid of its volume, with 0 outside the cube; the inverse of `fit_to_cube`.

    If the spacing of the volume is that of the cube or a multiple of it, every voxel inside the cube is restored
    exactly.

    Args:
        cube: Cube `(size, size, size)`.
        affine: Affine `(4, 4)` of the volume.
        shape: Shape `(x, y, z)` of the volume.
        spacing_mm: Distance between the voxels of the cube.
        centre: Voxel indices of the volume in the middle of the cube, such as its `head_centre`.
        labels: Whether each voxel gets the label nearest to its centre. The type of the labels is kept.

    Returns:
        A volume of shape `shape` in canonical order, `float32` unless the values are labels.
    """
    steps = _steps(affine, spacing_mm=spacing_mm)
    starts = _starts(centre, steps, size=len(cube))
    if labels:
        return _nearest(from_cube_order(cube), starts=starts, steps=steps, shape=shape)
    backwards = [-start / step for start, step in zip(starts, steps, strict=True)]
    # Smoothing is not needed: where the volume is coarser, its voxels are among those of the cube.
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
    """Find the voxels of a cube from which a region of a volume is restored, and all voxels between them.

    Args:
        region: The region in canonical order.
        affine: Affine `(4, 4)` of the volume.
        size: Number of voxels along each side of the cube.
        spacing_mm: Distance between voxels of the cube.
        centre: Voxel indices of the volume in the middle of the cube.

    Returns:
        The region in the order of a cube.

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
        # Linear interpolation reaches one step of the coarser grid along this axis.
        made_of = np.abs(places[:, None] - np.arange(size)) < max(1.0, 1 / step) - _ROUNDING
        found = np.moveaxis(np.tensordot(found, made_of.astype(np.float32), axes=(axis, 0)), -1, axis)
    beyond = int(region.sum() - within.sum())
    if beyond:
        cube = f"the cube of {size * spacing_mm:g} mm around the middle of the head that the model sees"
        raise DataError(f"{beyond} of {int(region.sum())} voxels lie outside {cube}")
    return to_cube_order(found > 0)


def to_cube_order(volume: np.ndarray) -> np.ndarray:
    """Convert `(x, y, z)` in canonical order to `(z, y, x)` from top to bottom, front to back and right to left."""
    return np.ascontiguousarray(volume[::-1, ::-1, ::-1].transpose(2, 1, 0))


def from_cube_order(cube: np.ndarray) -> np.ndarray:
    """Convert the order of a cube back to canonical order; the inverse of `to_cube_order`."""
    return np.ascontiguousarray(cube[::-1, ::-1, ::-1].transpose(2, 1, 0))


def cube_affine(size: int, *, spacing_mm: float) -> Float[np.ndarray, "4 4"]:
    """Return the affine of a volume `from_cube_order` without a position in space. Its middle lies at 0 mm."""
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = -spacing_mm * (size - 1) / 2
    return affine


def cube_as_scan(cube: np.ndarray, *, spacing_mm: float, centre_mm: Sequence[float] = (0.0, 0.0, 0.0)) -> Scan:
    """Return a cube `(z, y, x)` of grey values as a volume of its own.

    Args:
        cube: Grey values.
        spacing_mm: Distance between voxels.
        centre_mm: Position of the middle of the cube in mm.
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
    """Return the step from one voxel of the cube to the next along each axis, in voxels of the volume."""
    return [spacing_mm / length for length in spacing_of(np.asarray(affine))]


def _starts(centre: Sequence[float], steps: Sequence[float], *, size: int) -> list[float]:
    """Return the voxel index of the volume at which the cube begins, along each axis.

    It is rounded to an integer, which moves the cube by at most half a voxel. So grids with the same spacing coincide.
    """
    return [float(round(middle - step * (size - 1) / 2)) for middle, step in zip(centre, steps, strict=True)]


def _smooth(volume: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    """Remove details that are finer than the steps of the cube.

    Each voxel is modelled as a Gaussian whose width at half maximum is the side of the voxel. The function widens fine
    voxels to the width of coarse ones (Cardoso et al., Scale factor point spread function matching, MICCAI 2015).
    """
    for axis, step in enumerate(steps):
        if step > 1:
            volume = ndimage.gaussian_filter1d(volume, np.sqrt(step**2 - 1) / _FWHM, axis=axis, mode="constant")
    return volume


def _look_up(volume: np.ndarray, *, starts: Sequence[float], steps: Sequence[float], shape: Sequence[int]) -> Volume:
    """Interpolate a volume linearly at `start + i·step` along each axis, with 0 outside."""
    return ndimage.affine_transform(
        volume, np.asarray(steps), offset=np.asarray(starts), output_shape=tuple(shape), order=1, mode="grid-constant"
    )


def _nearest(cube: np.ndarray, *, starts: Sequence[float], steps: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Return the voxel of a cube, in canonical order, that is nearest to each voxel of a volume; 0 outside the cube."""
    held, found = [], []
    for length, start, step, size in zip(shape, starts, steps, cube.shape, strict=True):
        nearest = np.floor((np.arange(length) - start) / step + 0.5).astype(int)
        held.append((nearest >= 0) & (nearest < size))
        found.append(nearest[held[-1]])
    volume = np.zeros(shape, cube.dtype)
    volume[np.ix_(*held)] = cube[np.ix_(*found)]
    return volume
