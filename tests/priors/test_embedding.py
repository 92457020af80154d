import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors.embedding import CodeEmbedding, ContextEmbedding, turned

LAYOUT = CodeLayout(num_embeddings=5, num_codebooks=2, grid=(2, 3))


def test_a_cell_is_the_sum_of_the_vectors_of_its_codes():
    embedding = CodeEmbedding(LAYOUT, embedding_dim=3)
    codes = torch.randint(5, (4, 2, 2, 3))
    embedded = embedding(codes)
    assert embedded.shape == (4, 2, 3, 3)
    for image, i, j in [(0, 0, 0), (3, 1, 2)]:
        first, second = codes[image, :, i, j]
        torch.testing.assert_close(embedded[image, i, j], embedding.weight[0, first] + embedding.weight[1, second])


def test_codebooks_that_are_alike_still_begin_apart():
    embedding = CodeEmbedding(LAYOUT, embedding_dim=8)
    embedding.start(torch.randn(1, 5, 4).expand(2, -1, -1))
    swapped = torch.tensor([[0, 1], [1, 0]])
    first, second = embedding(swapped)
    assert not torch.allclose(first, second)


def test_turning_keeps_who_is_near_whom():
    vectors = torch.randn(50, 8) * torch.tensor([1.0, 100.0] * 4)
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0)
    before, after = torch.pdist(standard), torch.pdist(turned(vectors, 64))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9


@pytest.mark.parametrize("grid", [(4, 6), (5, 7)])
def test_a_cell_sees_the_coarse_cell_that_it_lies_in_and_those_around(grid):
    context = ContextEmbedding([LAYOUT], grid=grid, width=8).double()
    codes = torch.randint(5, (1, 2, 2, 3))
    seen = context((codes,))
    assert seen.shape == (1, *grid, 8)
    for row in range(2):
        for column in range(3):
            changed = codes.clone()
            changed[0, 0, row, column] = (changed[0, 0, row, column] + 1) % 5
            moved = (context((changed,)) != seen)[0].any(dim=2)
            inside = (torch.arange(grid[0]) * 2 // grid[0] == row)[:, None] & (
                torch.arange(grid[1]) * 3 // grid[1] == column
            )
            assert moved[inside].all()


def test_cells_within_a_coarse_cell_are_told_apart_where_its_neighbours_differ():
    seen = ContextEmbedding([LAYOUT], grid=(4, 6), width=8)((torch.randint(5, (1, 2, 2, 3)),))
    assert torch.pdist(seen[0].flatten(0, 1)).min() > 1e-4


def test_levels_of_other_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"grids of 3 axes.*got \(2, 3\)"):
        ContextEmbedding([LAYOUT], grid=(2, 4, 6), width=8)
