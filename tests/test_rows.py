import pytest

from voxlex.rows import batches, evenly_spaced


@pytest.mark.parametrize(
    ("rows", "at_most", "expected"),
    [(3, 8, [0, 1, 2]), (8, 4, [0, 2, 4, 6]), (10, 4, [0, 2, 5, 7]), (0, 4, []), (5, 1, [0])],
)
def test_rows_are_spread(rows: int, at_most: int, expected: list[int]):
    assert evenly_spaced(rows, at_most) == expected


def test_batches_cover_all_rows_and_hold_fewer_large_images():
    assert list(batches(5, pixels_per_image=16, at_most=2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(batches(3, pixels_per_image=2**20, at_most=32)) == [slice(0, 2), slice(2, 3)]
    assert list(batches(2, pixels_per_image=2**30, at_most=32)) == [slice(0, 1), slice(1, 2)]
    assert list(batches(0, pixels_per_image=16, at_most=2)) == []
