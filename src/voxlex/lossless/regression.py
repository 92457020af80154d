"""Least squares from what was coded nearby: the weights of neighbours that would have predicted it best.

For a value x with neighbours n, the weights a minimize Σᵢ wᵢ (xᵢ − aᵀnᵢ)² + ρ‖a‖² over the places i of a window that
is already coded. Places that are near, and whose neighbours look like those of x, weigh more. The mean of the nearest
neighbours is subtracted from everything, so that the penalty draws the prediction towards this mean.

Neighbours are sorted by distance. Elimination goes through them in this order, so that one elimination serves several
predictions, from the first few neighbours and from all.

References:
    Li and Orchard, "Edge-directed prediction for lossless compression of natural images", IEEE TIP 2001.
    Meyer and Tischer, "TMW: a new method for lossless image compression", 1997 (several predictors, blended).
"""

from typing import NamedTuple, no_type_check

import numpy as np

from voxlex.lossless.compiling import part
from voxlex.lossless.vectors import LANES, ROWS, dot_rows

MARGIN = 8
"""Places around each slice, so that neighbours and windows need no test for the edge."""

HINT = 4
"""Planes 0 to 3 hold the slice that is coded and the three before it, plane 4 and 5 its prediction and the former."""

_ALIKE = 10
"""Number of neighbours that decide whether two places look alike."""

_RIDGE, _LIKENESS = 0.03, 20.0
_FORGET, _LONG_RIDGE = 0.998, 20.0
_LEAST_PIVOT = 1e-4
"""The penalty keeps pivots above this, except where rounding of huge numbers has used them up."""

_FURTHEST = 1e9
"""A prediction beyond this is of no use, and the mean takes its place."""


class Regression(NamedTuple):
    """Neighbours, window and memory of the regressions.

    Attributes:
        neighbours: Plane, row and column of each neighbour, relative to the value.
        runs: Slice, row, first column and number of places of each row of the window, relative to the value.
        nearness: Weight of each place of each row of the window.
        orders: Numbers of neighbours of each prediction, the largest first.
        samples: Neighbours and value at each place of the window.
        weighted: The same, times the weight of the place.
        system: The normal equations, with the value as their last column.
        long_system: The same, over everything coded, older places less.
        long_weights: Weights that follow from `long_system`.
        here: Neighbours of the value, without the mean.
        weights: Weights of the neighbours.
    """

    neighbours: np.ndarray
    runs: np.ndarray
    nearness: np.ndarray
    orders: np.ndarray
    samples: np.ndarray
    weighted: np.ndarray
    likeness: np.ndarray
    distances: np.ndarray
    system: np.ndarray
    solved: np.ndarray
    long_system: np.ndarray
    long_weights: np.ndarray
    here: np.ndarray
    weights: np.ndarray


def start_regression(*, volume: bool, hinted: bool) -> Regression:
    """Return the regressions for a picture or a volume, with a prediction beside it or without."""
    neighbours = _neighbours(volume, hinted)
    runs, nearness = _window(volume)
    n = len(neighbours)
    places = -(-sum(run[3] for run in runs) // LANES) * LANES
    columns = -(-(n + 1) // ROWS) * ROWS
    return Regression(
        neighbours=neighbours,
        runs=np.array(runs, np.int64),
        nearness=nearness,
        orders=np.array([n, 2 * n // 3, n // 3], np.int64),
        samples=np.zeros((columns, places)),
        weighted=np.zeros((n, places)),
        likeness=np.zeros(places),
        distances=np.zeros(places),
        system=np.zeros((n, columns)),
        solved=np.zeros((n + 1, n + 1)),
        long_system=np.zeros((n + 1, n + 1)),
        long_weights=np.zeros(n),
        here=np.zeros(n + 1),
        weights=np.zeros(n),
    )


def _neighbours(volume: bool, hinted: bool) -> np.ndarray:
    """Return the neighbours, sorted by distance; a tie goes to the one that was coded last."""
    reach = range(-4, 5)
    found = [(dy * dy + dx * dx, 0, dy, dx) for dy in range(-4, 1) for dx in reach if (dy, dx) < (0, 0)]
    count = 12 if volume else 18
    found = sorted(found, key=lambda place: (place[0], -place[2], place[3]))[:count]
    if volume:
        near = [(dy * dy + dx * dx + 1, 1, dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        found += [place for place in near if place[0] <= 5] + [(5, 2, 0, 0)]
    if hinted:
        found += [(dy * dy + dx * dx + 1, HINT, dy, dx) for dy, dx in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))]
    found.sort(key=lambda place: place[0])
    return np.array([place[1:] for place in found], np.int64)


def _window(volume: bool) -> tuple[list[tuple[int, int, int, int]], np.ndarray]:
    radius = 5 if volume else 6
    runs = [(0, dy, -radius, 2 * radius + 1 if dy else radius) for dy in range(-radius, 1)]
    if volume:
        runs += [(1, dy, -3, 7) for dy in range(-3, 4)]
    nearness = np.zeros((len(runs), 2 * radius + 1))
    for row, (dz, dy, first, count) in enumerate(runs):
        nearness[row, :count] = [1.0 / np.sqrt(dz + dy * dy + dx * dx) for dx in range(first, first + count)]
    return runs, nearness


@part
@no_type_check
def look(r, planes, y, x):
    """Set the neighbours of a place in the padded planes, and return the mean of the nearest four of them."""
    for j in range(len(r.neighbours)):
        r.here[j] = planes[r.neighbours[j, 0], y + r.neighbours[j, 1], x + r.neighbours[j, 2]]
    mean = ((r.here[0] + r.here[1]) + (r.here[2] + r.here[3])) * 0.25
    for j in range(len(r.neighbours)):
        r.here[j] -= mean
    return mean


@part
@no_type_check
def regress(r, planes, y, x, width, height, mean, expected):
    """Write the prediction of each order, and of the long memory, into `expected`."""
    n = len(r.neighbours)
    _gather(r, planes, y, x, width, height, mean)
    _normal_equations(r)
    for j in range(n):
        r.system[j, j] += _RIDGE
    _eliminate(r.system, n)
    for k in range(len(r.orders)):
        _substitute(r.system, n, r.orders[k], r.weights)
        expected[k] = mean + _within(_apply(r.weights, r.here, r.orders[k]))
    expected[len(r.orders)] = mean + _within(_apply(r.long_weights, r.here, n))


@part
@no_type_check
def _within(x):
    return x if -_FURTHEST < x < _FURTHEST else 0.0


@part
@no_type_check
def _gather(r, planes, y, x, width, height, mean):
    """Copy what lies in the window, without the mean, and weigh it. Places outside of the slice weigh nothing."""
    n, at = len(r.neighbours), 0
    for k in range(len(r.runs)):
        dz, row = r.runs[k, 0], y + r.runs[k, 1]
        first = max(x + r.runs[k, 2], MARGIN)
        count = min(x + r.runs[k, 2] + r.runs[k, 3], width + MARGIN) - first
        if row < MARGIN or row >= height + MARGIN or count <= 0:
            continue
        for j in range(n):
            source = planes[r.neighbours[j, 0] + dz, row + r.neighbours[j, 1]]
            left = first + r.neighbours[j, 2]
            for i in range(count):
                r.samples[j, at + i] = source[left + i] - mean
        skipped = first - x - r.runs[k, 2]
        for i in range(count):
            r.samples[n, at + i] = planes[dz, row, first + i] - mean
            r.likeness[at + i] = r.nearness[k, skipped + i]
        at += count
    _weigh(r, at)


@part
@no_type_check
def _weigh(r, count):
    n = len(r.neighbours)
    for i in range(count):
        r.distances[i] = _LIKENESS
    for j in range(_ALIKE):
        for i in range(count):
            r.distances[i] += (r.samples[j, i] - r.here[j]) * (r.samples[j, i] - r.here[j])
    for i in range(count):
        r.likeness[i] /= r.distances[i]
    for i in range(count, len(r.likeness)):
        r.likeness[i] = 0.0
    for j in range(n):
        for i in range(len(r.likeness)):
            r.weighted[j, i] = r.samples[j, i] * r.likeness[i]


@part
@no_type_check
def _normal_equations(r):
    """Sum up products over the window. The lower half of the system is not used."""
    n, columns = r.system.shape
    for a in range(n):
        for b in range(a // ROWS * ROWS, columns, ROWS):
            dot_rows(r.weighted, a, r.samples, b, r.system, a * columns + b)


@part
@no_type_check
def _eliminate(system, n):
    """Bring a symmetric system, of which the upper half and the last column are given, to upper triangular form."""
    for k in range(n):
        system[k, k] = max(system[k, k], _LEAST_PIVOT)
        inverse = 1.0 / system[k, k]
        for i in range(k + 1, n):
            factor = system[k, i] * inverse
            for j in range(i, n + 1):
                system[i, j] -= factor * system[k, j]


@part
@no_type_check
def _substitute(system, n, order, weights):
    for i in range(order - 1, -1, -1):
        total = system[i, n]
        for j in range(i + 1, order):
            total -= system[i, j] * weights[j]
        weights[i] = total / system[i, i]


@part
@no_type_check
def _apply(weights, neighbours, order):
    total = 0.0
    for j in range(order):
        total += weights[j] * neighbours[j]
    return total


@part
@no_type_check
def remember(r, value, count):
    """Take a value, without the mean, into the long memory, and solve its equations now and then."""
    n = len(r.neighbours)
    r.here[n] = value
    for a in range(n):
        for b in range(a, n + 1):
            r.long_system[a, b] = r.long_system[a, b] * _FORGET + r.here[a] * r.here[b]
            # What is forgotten is zero, and not a number too small for some processors.
            if abs(r.long_system[a, b]) < 1e-9:
                r.long_system[a, b] = 0.0
    if count % 4 == 0:
        for a in range(n):
            for b in range(a, n + 1):
                r.solved[a, b] = r.long_system[a, b]
            r.solved[a, a] += _LONG_RIDGE
        _eliminate(r.solved, n)
        _substitute(r.solved, n, n, r.long_weights)
