"""Which rows to look at, when all would be too many."""


def evenly_spaced(rows: int, at_most: int) -> list[int]:
    """Return up to `at_most` row numbers, spread evenly, so that neighbouring slices do not stand side by side."""
    count = min(rows, at_most)
    return [i * rows // count for i in range(count)]
