"""Which rows to look at, when all would be too many, and how many at once."""


def evenly_spaced(rows: int, at_most: int) -> list[int]:
    """Return up to `at_most` row numbers, spread evenly, so that neighbouring slices do not stand side by side."""
    count = min(rows, at_most)
    return [i * rows // count for i in range(count)]


def images_at_once(pixels_per_image: int, at_most: int) -> int:
    """Return how many images go into a batch of at most `at_most`: fewer where each of them is a volume."""
    return max(1, min(at_most, 2**21 // pixels_per_image))
