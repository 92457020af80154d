import pytest
import torch

from voxlex.quantizers.search import nearest


@pytest.mark.parametrize("d", [1, 8, 64])
@pytest.mark.parametrize("k", [1, 7, 64, 100, 1024])
def test_equals_brute_force_in_float64(k: int, d: int) -> None:
    vectors, codebook = torch.randn(777, d), torch.randn(k, d)
    distances = torch.cdist(vectors.double(), codebook.double()).square()
    chosen = nearest(vectors, codebook)
    excess = distances.gather(1, chosen.unsqueeze(1)).squeeze(1) - distances.amin(dim=1)
    # Only codewords whose distances float32 cannot tell apart may change places, and only seldom.
    rounding = 2**-23 * (vectors.square().sum(dim=1).double() + codebook.square().sum(dim=1).max())
    assert (excess <= 2 * rounding).all()
    assert (excess > 0).double().mean() < 0.01


@pytest.mark.parametrize("k", [100, 1024])
def test_ties_go_to_the_lowest_index(k: int) -> None:
    codebook = torch.randn(k // 4, 8).repeat(4, 1)
    assert torch.equal(nearest(codebook[: k // 4], codebook), torch.arange(k // 4))


def test_stays_in_float32_under_autocast() -> None:
    # Two codewords that bfloat16 cannot tell apart.
    codebook = torch.tensor([[1.0, 0.0], [1.0 + 2**-9, 0.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nearest(codebook, codebook).tolist() == [0, 1]


def test_no_vectors_give_no_indices() -> None:
    assert nearest(torch.empty(0, 4), torch.randn(3, 4)).shape == (0,)
