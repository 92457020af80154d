"""Sort DICOM planes to a volume, and refuse planes that would give a distorted volume."""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import numpy as np

from voxlex.dicom.header import Plane
from voxlex.errors import DataError

_SAME_PLACE_MM = 0.01
_TOLERANCE = 0.1  # of the distance between slices, by which a position may be off; files round them
_ASK = "say how far apart voxels are with --reading.spacing-mm X Y Z (spacing_mm of read_scan)"


class Stack(NamedTuple):
    """The order of the planes of a volume, and their grid in LPS+ coordinates.

    Attributes:
        order: Indices of the planes, from the lowest to the highest.
        steps: `(3, 3)` matrix whose columns are the steps along columns, rows and planes, in mm.
        origin: Position of the first pixel of the first plane, in mm.
    """

    order: list[int]
    steps: np.ndarray
    origin: np.ndarray


def stack_planes(planes: Sequence[Plane], *, spacing_mm: Sequence[float] | None = None) -> Stack:
    """Sort the planes of one volume, which all have a place in space.

    Args:
        planes: The planes.
        spacing_mm: Distance between voxels along x (to the right), y (to the front) and z (to the top), which is used
            where the planes do not contain it.

    Raises:
        DataError: If the planes point in several directions, differ in pixel spacing, do not contain it, are not evenly
            spaced, or some of them are missing.
    """
    if spacing_mm is not None and (len(spacing_mm) != 3 or not all(0 < step < inf for step in spacing_mm)):
        raise DataError(f"spacing_mm: expected three lengths above 0, got {', '.join(map(str, spacing_mm))}")
    rows_to, columns_to = _directions(planes)
    normal = np.cross(rows_to, columns_to)
    between_rows, between_columns = _spacing(planes, rows_to, columns_to, spacing_mm)
    positions = np.array([plane.position for plane in planes])
    order = [int(index) for index in np.argsort(positions @ normal, kind="stable")]
    single = len(planes) == 1
    step = normal * _thickness(planes[0], normal, spacing_mm) if single else _step(positions[order], normal)
    steps = np.column_stack([rows_to * between_columns, columns_to * between_rows, step])
    return Stack(order, steps, positions[order[0]])


def check_directions(planes: Sequence[Plane]) -> None:
    """Refuse planes that do not say where they lie and which way they point, so that volumes can be told apart.

    Raises:
        DataError: If this is not given, or does not make sense.
    """
    for plane in planes:
        _directions([plane])


def _directions(planes: Sequence[Plane]) -> tuple[np.ndarray, np.ndarray]:
    directions = np.array([plane.orientation for plane in planes])
    rows_to, columns_to = directions[0, :3], directions[0, 3:]
    lengths = np.linalg.norm(rows_to), np.linalg.norm(columns_to)
    if not 0.5 < min(lengths) <= max(lengths) < 2 or abs(rows_to @ columns_to) > 0.01:
        raise DataError("its ImageOrientationPatient does not hold two directions at right angles")
    return rows_to / lengths[0], columns_to / lengths[1]


def _spacing(
    planes: Sequence[Plane], rows_to: np.ndarray, columns_to: np.ndarray, given: Sequence[float] | None
) -> tuple[float, float]:
    spacings = {plane.spacing_mm and tuple(round(step, 4) for step in plane.spacing_mm) for plane in planes}
    known = planes[0].spacing_mm
    if len(spacings) > 1:
        found = " and ".join(
            sorted("none" if one is None else "×".join(f"{step:g}" for step in one) for one in spacings)[:2]
        )
        raise DataError(f"its slices differ in PixelSpacing: {found} mm")
    if known is not None:
        return known[0], known[1]
    if given is None:
        raise DataError(f"expected two lengths in PixelSpacing, got none: the tag is missing or empty; {_ASK}")
    return given[_axis(columns_to)], given[_axis(rows_to)]


def _thickness(plane: Plane, normal: np.ndarray, given: Sequence[float] | None) -> float:
    """Return the thickness of a single slice in mm."""
    if plane.thickness_mm is not None:
        return plane.thickness_mm
    if given is None:
        raise DataError(f"expected a length in SliceThickness, got none: the tag is missing or empty; {_ASK}")
    return given[_axis(normal)]


def _axis(direction: np.ndarray) -> int:
    return int(np.abs(direction).argmax())


def _step(positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the step from one slice to the next in mm, which is oblique if a tilted gantry shifts each slice."""
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    steps = gaps / usual
    whole = np.rint(steps)
    if np.abs(steps - 1).max() > _TOLERANCE:
        missing = int((whole - 1).sum())
        if missing > 0 and (np.abs(steps - whole) <= _TOLERANCE * whole).all():
            places = ", ".join(str(int(index) + 1) for index in np.flatnonzero(whole > 1)[:5])
            number = "1 slice is" if missing == 1 else f"{missing} slices are"
            raise DataError(f"{number} missing: {len(positions)} are there, with gaps after slice {places}")
        raise DataError(f"its slices are unevenly spaced, {gaps.min():.4g} to {gaps.max():.4g} mm apart")
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    if np.linalg.norm(positions - line, axis=1).max() > _TOLERANCE * usual + _SAME_PLACE_MM:
        raise DataError("its slices are shifted against each other; a volume needs them on one line")
    return step
