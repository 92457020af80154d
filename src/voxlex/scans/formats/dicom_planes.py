"""Sort DICOM planes to a volume, and refuse planes that would give a distorted volume."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.dicom_header import Plane
from voxlex.scans.grid import affine_from_lps
from voxlex.scans.scan import choose_volume

_SAME_PLACE_MM = 0.01
_TOLERANCE = 0.1  # of the distance between slices, by which a position may be off; files round them


class Stack(NamedTuple):
    """The order of the planes of a volume, and the map from (column, row, plane) to RAS+ mm."""

    order: list[int]
    affine: np.ndarray


def stack_planes(planes: Sequence[Plane], *, rows: int, columns: int, volume: int | str | None = None) -> Stack:
    """Sort planes to a volume.

    Args:
        planes: Planes of `rows × columns` pixels, all with a place in space.
        rows: Rows of each.
        columns: Columns of each.
        volume: Which volume, where each place is held by several planes (over time, echo or diffusion); they are
            counted in the order of their numbers.

    Raises:
        DataError: If the planes point in several directions, differ in pixel spacing, are not evenly spaced, or some of
            them are missing or held twice; or if there are several volumes and none is chosen.
    """
    rows_to, columns_to = _directions(planes)
    spacings = {tuple(round(step, 4) for step in plane.spacing_mm or (1.0, 1.0)) for plane in planes}
    if len(spacings) > 1:
        found = " and ".join("×".join(f"{step:g}" for step in spacing) for spacing in sorted(spacings)[:2])
        raise DataError(f"its slices differ in pixel spacing: {found} mm")
    positions = np.array([plane.position for plane in planes])
    order = _chosen(planes, positions @ np.cross(rows_to, columns_to), volume=volume, shape=(columns, rows))
    step = _step(positions[order], planes[order[0]], np.cross(rows_to, columns_to))
    between_rows, between_columns = planes[order[0]].spacing_mm or (1.0, 1.0)
    steps = np.column_stack([rows_to * between_columns, columns_to * between_rows, step])
    return Stack(order, affine_from_lps(steps, positions[order[0]]))


def _directions(planes: Sequence[Plane]) -> tuple[np.ndarray, np.ndarray]:
    directions = np.array([plane.orientation for plane in planes])
    if np.abs(directions - directions[0]).max() > 1e-3:
        count = len({tuple(row) for row in directions.round(2).tolist()})
        raise DataError(f"its slices point in {max(2, count)} directions; a volume needs parallel slices")
    rows_to, columns_to = directions[0, :3], directions[0, 3:]
    lengths = np.linalg.norm(rows_to), np.linalg.norm(columns_to)
    if not np.isfinite(directions).all() or min(lengths) < 0.5 or abs(rows_to @ columns_to) > 0.01:
        raise DataError("its ImageOrientationPatient does not hold two directions at right angles")
    return rows_to / lengths[0], columns_to / lengths[1]


def _chosen(
    planes: Sequence[Plane], heights: np.ndarray, *, volume: int | str | None, shape: tuple[int, int]
) -> list[int]:
    """Return the indices of the planes of one volume, from the lowest to the highest."""
    if not np.isfinite(heights).all():
        raise DataError("its ImagePositionPatient holds values that are not finite")
    levels: list[list[int]] = []
    for index in np.argsort(heights, kind="stable"):
        if levels and heights[index] - heights[levels[-1][0]] < _SAME_PLACE_MM:
            levels[-1].append(int(index))
        else:
            levels.append([int(index)])
    counts = Counter(len(level) for level in levels)
    if len(counts) > 1:
        usual, odd = counts.most_common(1)[0][0], sum(counts.values()) - counts.most_common(1)[0][1]
        raise DataError(f"{odd} of {len(levels)} positions hold more or fewer slices than the {usual} of the others")
    chosen = choose_volume(volume, count=len(levels[0]), shape=(*shape, len(levels), len(levels[0])))
    return [sorted(level, key=lambda index: planes[index].number)[chosen] for level in levels]


def _step(positions: np.ndarray, first: Plane, normal: np.ndarray) -> np.ndarray:
    """Return the step from one slice to the next in mm, which is oblique if a tilted gantry shifts each slice."""
    if len(positions) == 1:
        return normal * (first.thickness_mm or (first.spacing_mm or (1.0,))[0])
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
