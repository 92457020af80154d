"""Which rows to look at, when all would be too many, and how many at once."""

from collections.abc import Iterator


def evenly_spaced(rows: int, at_most: int) -> list[int]:
    """Return up to `at_most` row numbers, spread evenly, so that neighbouring slices do not stand side by side."""
    count = min(rows, at_most)
    return [i * rows // count for i in range(count)]


def batches(rows: int, *, pixels_per_image: int, at_most: int) -> Iterator[slice]:
    """Yield the rows of one batch after another: `at_most` images each, or fewer where each of them is a volume."""
    at_once = max(1, min(at_most, 2**21 // pixels_per_image))
    for start in range(0, rows, at_once):
        yield slice(start, min(start + at_once, rows))
