"""Choose rows: a few that are evenly spaced, or batches of limited size."""

from collections.abc import Iterator


def evenly_spaced(rows: int, at_most: int) -> list[int]:
    """Return up to `at_most` evenly spaced row numbers, so that neighbouring slices are not chosen together."""
    count = min(rows, at_most)
    return [i * rows // count for i in range(count)]


def batches(rows: int, *, pixels_per_image: int, at_most: int) -> Iterator[slice]:
    """Yield the rows of each batch: `at_most` images, or fewer if the images are volumes."""
    at_once = max(1, min(at_most, 2**21 // pixels_per_image))
    for start in range(0, rows, at_once):
        yield slice(start, min(start + at_once, rows))
