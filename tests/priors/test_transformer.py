import math

import pytest

from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.priors.transformer import TransformerPrior

from .kinds import random_codes, small


@pytest.mark.parametrize(
    ("grid", "kernel_size"), [((4, 5), 3), ((3, 6), 5), ((3, 8), 7), ((2, 3, 4), 3), ((2, 2, 4), 7)]
)
def test_a_cell_depends_on_every_earlier_cell_and_on_no_other(grid, kernel_size):
    prior = small(TransformerPrior, grid=grid, layers=1, kernel_size=kernel_size)
    codes = random_codes(prior, 1)
    cells = math.prod(grid)
    for cell in range(cells):
        changed = codes.clone()
        changed.view(-1)[cell] = (codes.view(-1)[cell] + 1) % prior.layout.num_embeddings
        moved = (prior(changed) != prior(codes)).any(dim=1).flatten()
        assert moved.tolist() == [other > cell for other in range(cells)]


def test_the_neighbours_of_a_cell_are_those_around_it_that_come_before():
    neighbours = EarlierNeighbours(in_channels=1, out_channels=1, grid=(3, 4), kernel_size=3)
    outside = 12
    assert neighbours.table[6].tolist() == [1, 2, 3, 5, 5]
    assert neighbours.table[4].tolist() == [outside, 0, 1, outside, 3]
    assert neighbours.table[0].tolist() == [outside] * 5
    neighbours = EarlierNeighbours(in_channels=1, out_channels=1, grid=(2, 2, 4), kernel_size=3, stride=2)
    assert len(neighbours.table) == 8
    assert neighbours.table[5].tolist() == [outside + 4] * 3 + [1, 2, 3, 5, 6, 7] + [outside + 4] * 3 + [9, 8, 9]
