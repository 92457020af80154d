import pytest

from voxlex.rows import evenly_spaced


@pytest.mark.parametrize(
    ("rows", "at_most", "expected"),
    [(3, 8, [0, 1, 2]), (8, 4, [0, 2, 4, 6]), (10, 4, [0, 2, 5, 7]), (0, 4, []), (5, 1, [0])],
)
def test_rows_are_spread(rows: int, at_most: int, expected: list[int]):
    assert evenly_spaced(rows, at_most) == expected
