"""What a table must say of an image so that its scan can be restored; tables and code files may come from anybody."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

import numpy as np

from voxlex.config.options import Axis
from voxlex.errors import DataError, brief

_LONGEST_SIDE = 2**16
_MOST_PIXELS = 2**30
_MOST_VOXELS = 2**31
"""Larger pictures and volumes than these are not read, so that no table can describe one."""


class _Fact(NamedTuple):
    """What a column must hold: in words, and as a test of a value."""

    expected: str
    holds: Callable[[Any], bool]


def _whole(low: int, high: int) -> _Fact:
    def holds(value: Any) -> bool:
        return _is_real(value) and bool(float(value).is_integer() and low <= value <= high)

    return _Fact(f"a whole number from {low} to {high}", holds)


def _numbers(count: int) -> _Fact:
    def holds(value: Any) -> bool:
        return _is_list(value) and len(value) == count and all(map(_is_real, value))

    return _Fact(f"{count} finite numbers", holds)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _is_shape(value: Any) -> bool:
    whole = _is_list(value) and all(isinstance(length, Integral) and int(length) >= 1 for length in value)
    return whole and 2 <= len(value) <= 7 and math.prod(map(int, value)) <= _MOST_VOXELS


def _is_type(value: Any) -> bool:
    try:
        return isinstance(value, str) and value != "" and np.dtype(value).kind in "buif"
    except (TypeError, ValueError, SyntaxError):  # numpy parses some words as Python
        return False


_VIEWS = ("picture", "cube", *get_args(Axis))

_OF_ALL = {
    "view": _Fact(f"one of {', '.join(_VIEWS)}", lambda value: isinstance(value, str) and value in _VIEWS),
    "height": _whole(1, _LONGEST_SIDE),
    "width": _whole(1, _LONGEST_SIDE),
    "bit_depth": _Fact("8, 16 or 32", lambda value: _is_real(value) and int(value) in (8, 16, 32)),
    "intensity_low": _Fact("a finite number", _is_real),
    "intensity_high": _Fact("a finite number", _is_real),
}
_OF_VOLUMES = {
    "stored_shape": _Fact(f"the sides of a volume of up to {_MOST_VOXELS} voxels", _is_shape),
    "stored_affine": _numbers(16),
    "stored_dtype": _Fact("a type of numbers, such as int16", _is_type),
    "stored_slope": _Fact("a finite number", _is_real),
    "stored_intercept": _Fact("a finite number", _is_real),
    "stored_space": _whole(0, 32767),
}
_OF_CUBES = {
    "centre": _numbers(3),
    "spacing_mm": _Fact("a number above 0", lambda value: _is_real(value) and bool(value > 0)),
}


def check_facts(row: Mapping[str, Any]) -> None:
    """Refuse a row of a manifest or of a file of codes from which no scan can be restored.

    Args:
        row: The columns `ORIGIN_COLUMNS`.

    Raises:
        DataError: If a value cannot be. The message names the column, what was expected, and what came.
    """
    _check(row, _OF_ALL)
    if row["height"] * row["width"] > _MOST_PIXELS:
        raise DataError(f"height, width: expected up to {_MOST_PIXELS} pixels, got {row['height']}×{row['width']}")
    if not row["intensity_low"] < row["intensity_high"]:
        raise DataError(
            f"intensity_high: expected more than intensity_low, {row['intensity_low']:g}, got {row['intensity_high']:g}"
        )
    if row["view"] != "picture":
        _check(row, _OF_VOLUMES)
    if row["view"] == "cube":
        _check(row, _OF_CUBES)


def check_slices(values: Sequence[Any]) -> None:
    """Refuse numbers of slices that cannot be.

    Raises:
        DataError: If one is missing or is not a whole number from 0.
    """
    fact = _whole(0, _LONGEST_SIDE)
    for value in values:
        if not fact.holds(value):
            raise DataError(f"slice: expected {fact.expected}, got {brief(value)}")


def _check(row: Mapping[str, Any], facts: Mapping[str, _Fact]) -> None:
    for column, fact in facts.items():
        if not fact.holds(row[column]):
            raise DataError(f"{column}: expected {fact.expected}, got {brief(row[column])}")
