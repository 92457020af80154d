"""The grid of a volume: as its file holds it, and in canonical order (x to the right, y to the front, z to the top)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from voxlex.config.options import Axis
from voxlex.errors import DataError

_SHORTEST_MM, _LONGEST_MM = 1e-6, 1e4  # nothing that a scanner measures is finer or coarser
AXES: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
"""Name of the slices across each axis of a volume `(x, y, z)`; x runs to the right, y to the front, z to the top."""

_THICK = 1.5  # times as long as in the two other directions are voxels that show the plane of a scan
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Grid(NamedTuple):
    """A grid in canonical order.

    Attributes:
        shape: Number of voxels along x, y and z.
        affine: `(4, 4)` map from voxel indices to scanner coordinates (RAS+) in mm.
        spacing_mm: Distance between voxel centres along each axis.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredGrid:
    """The grid of a volume in its file, from which the same grid can be written again.

    Attributes:
        shape: Shape in the file, with two or three axes and any further axes of length 1.
        affine: `(4, 4)` map from voxel indices in the file to scanner coordinates (RAS+) in mm.
        dtype: Type of the numbers in the file.
        slope: Grey values are the numbers in the file times `slope` plus `intercept`.
        intercept: See `slope`.
        space: NIfTI code of the coordinate space: 0 unknown, 1 scanner, 2 aligned or unknown, 3 Talairach, 4 MNI152.
            With 0, programs take the axes to run to the left, front and top, so that other axes need another code.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0
    space: int = 1

    def __post_init__(self) -> None:
        """Make 0 of −0, which some programs write and others do not, so that equal grids are stored alike."""
        object.__setattr__(self, "affine", self.affine + 0.0)

    @cached_property
    def canonical(self) -> Grid:
        """The same grid in canonical order.

        Raises:
            DataError: If the affine does not span a space.
        """
        axes, signs = self._turn
        lengths = _three(self.shape)
        turn = np.zeros((4, 4))  # canonical indices to those of the file
        turn[3, 3] = 1
        for canonical, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
            turn[axis, canonical] = sign
            turn[axis, 3] = 0 if sign > 0 else lengths[axis] - 1
        affine = self.affine @ turn
        x, y, z = (lengths[axis] for axis in axes)
        return Grid((x, y, z), affine, spacing_of(affine))

    def to_canonical(self, values: np.ndarray) -> Shaped[np.ndarray, "x y z"]:
        """View an array of shape `shape` in canonical order. Axes are permuted and flipped, not resampled."""
        axes, signs = self._turn
        return values.reshape(_three(self.shape)).transpose(axes)[_steps(signs)]

    def from_canonical(self, voxels: Shaped[np.ndarray, "x y z"]) -> np.ndarray:
        """View an array in canonical order in the order of the file; the inverse of `to_canonical`.

        Raises:
            DataError: If the voxels do not fit the grid.
        """
        axes, signs = self._turn
        turned = voxels[_steps(signs)].transpose(np.argsort(axes))
        if turned.shape != _three(self.shape):
            raise DataError(f"expected voxels with the file's shape {_three(self.shape)}, got {turned.shape}")
        return turned.reshape(self.shape)

    @cached_property
    def _turn(self) -> tuple[list[int], list[int]]:
        """For each canonical axis, the nearest axis of the file, and 1, or -1 if it runs in the opposite direction."""
        from nibabel.orientations import io_orientation

        _check_affine(self.affine)
        nearest = io_orientation(self.affine)
        axes = [int(axis) for axis in np.argsort(nearest[:, 0])]
        return axes, [int(nearest[axis, 1]) for axis in axes]


def acquired_plane(shape: Sequence[int], spacing_mm: Sequence[float]) -> Axis | None:
    """Return the plane in which a volume was acquired: across its only slice, or across its longest voxels.

    Args:
        shape: Number of voxels along x, y and z.
        spacing_mm: Distance between voxels along these axes, in mm.

    Returns:
        The plane; None if the voxels are nearly cubic, or the longest ones lie along two axes.
    """
    single = [axis for axis, length in zip(AXES, shape, strict=True) if length == 1]
    if len(single) == 1:
        return single[0]
    *_, longer, longest = sorted(spacing_mm)
    return AXES[list(spacing_mm).index(longest)] if longest > _THICK * longer else None


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the distance between voxels along each axis, in mm."""
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def with_spacing(
    steps: Sequence[float], shape: Sequence[int], spacing_mm: Sequence[float] | None
) -> tuple[tuple[float, float, float], tuple[str, ...]]:
    """Return the distances between voxels along three axes, and which of them the file does not say.

    A distance of 0, below 0, NaN or infinity means that the file does not say it. It is not guessed: `spacing_mm` says
    it. Only the thickness of a single slice is taken to be the distance in the plane, because nothing is distorted by
    it.

    Args:
        steps: Distances that the file claims, of as many axes as it does.
        shape: Number of voxels along each axis, of two axes or more.
        spacing_mm: Distances to take instead, along the axes of the file.

    Returns:
        The distances, and "spacing" or "thickness" or nothing.

    Raises:
        DataError: If the file does not say a distance, and `spacing_mm` is not given.
    """
    lengths = (*shape, 1, 1)[:3]
    known = [step if math.isfinite(step) and step > 0 else None for step in (*steps, 0.0, 0.0, 0.0)[:3]]
    if all(step is not None or length == 1 for step, length in zip(known, lengths, strict=True)) and any(known):
        thickness = max(step for step in known if step is not None)
        x, y, z = (thickness if step is None else step for step in known)
        return (x, y, z), () if None not in known or len(shape) == 2 else ("thickness",)
    if spacing_mm is None:
        raise DataError(
            "does not say how far apart its voxels are; say it with --reading.spacing-mm X Y Z (in Python, "
            "spacing_mm=(x, y, z)), along the axes of the file in mm"
        )
    return check_spacing(spacing_mm), ("spacing",)


def check_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """Return the distances along three axes as numbers.

    Raises:
        DataError: If there are not three, or one is not above 0.
    """
    steps = tuple(float(step) for step in spacing_mm)
    if len(steps) != 3 or not all(0 < step < math.inf for step in steps):
        raise DataError(f"spacing_mm: expected three distances above 0, got {steps}")
    return steps[0], steps[1], steps[2]


def affine_from_lps(steps: Float[np.ndarray, "3 3"], origin: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Return the affine of a grid that is described in LPS+ coordinates, as DICOM and ITK do.

    Args:
        steps: Matrix whose columns are the steps from one voxel to the next along each axis, in mm.
        origin: Position of the first voxel, in mm.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, origin
    return _LPS_TO_RAS @ affine


def affine_to_lps(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return the map from voxel indices to LPS+ coordinates."""
    return _LPS_TO_RAS @ affine


def _check_affine(affine: np.ndarray) -> None:
    if not np.isfinite(affine).all():
        raise DataError("affine: expected finite values, got NaN or infinity")
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all():
        raise DataError("affine: expected a length above 0 along each axis, got 0")
    if lengths.min() < _SHORTEST_MM or lengths.max() > _LONGEST_MM:
        found = f"{lengths.min():.3g} to {lengths.max():.3g} mm"
        raise DataError(f"affine: expected voxels {_SHORTEST_MM:g} to {_LONGEST_MM:g} mm apart, got {found}")
    if abs(np.linalg.det(columns / lengths)) < 1e-3:
        raise DataError("affine: expected axes that span a space, got a singular matrix")


def _steps(signs: list[int]) -> tuple[slice, ...]:
    return tuple(slice(None, None, sign) for sign in signs)


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1, 1)[:3]
