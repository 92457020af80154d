import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors import grouped
from voxlex.priors.depth import DepthHead
from voxlex.priors.grouped import GroupedSoftmax


def softmax_of(codes: int, *, width: int = 8) -> GroupedSoftmax:
    torch.manual_seed(0)
    softmax = GroupedSoftmax(codes, width=width).double()
    softmax.start(torch.rand(codes).log_softmax(dim=0), torch.randn(codes, width))
    return softmax


@pytest.mark.parametrize("codes", [1, 2, 3, 10, 64, 100])
def test_probabilities_of_all_codes_sum_to_one(codes):
    probabilities = softmax_of(codes)(torch.randn(5, 8, dtype=torch.float64)).exp()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert probabilities.shape == (5, codes)


@pytest.mark.parametrize("codes", [1, 2, 3, 10, 64, 100])
def test_a_code_scored_alone_has_its_share_of_all_and_the_same_gradient(codes):
    softmax = softmax_of(codes)
    features = torch.randn(40, 8, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(codes, (40,))
    weights = torch.randn(40, dtype=torch.float64)
    scored, expected = softmax.log_probs(features, chosen), softmax(features)[torch.arange(40), chosen]
    torch.testing.assert_close(scored, expected)
    inputs = [features, *softmax.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(scored @ weights, inputs), torch.autograd.grad(expected @ weights, inputs)
    )


def test_products_with_all_codes_give_the_logits_of_products_by_group(monkeypatch):
    monkeypatch.setattr(grouped, "_ROWS", 16)  # 40 rows in three parts
    softmax = softmax_of(100)
    features, chosen = torch.randn(40, 8, dtype=torch.float64), torch.randint(100, (40,))
    group = softmax.place[chosen] // softmax.size
    torch.testing.assert_close(softmax._of_all_groups(features, group), softmax._of_each_group(features, group))


@pytest.mark.parametrize("codes", [3, 100])
def test_it_starts_at_the_distribution_it_is_given_whatever_the_groups(codes):
    softmax = GroupedSoftmax(codes, width=8).double()
    log_probs = torch.rand(codes, dtype=torch.float64).log_softmax(dim=0)
    softmax.start(log_probs, torch.randn(codes, 8))
    torch.testing.assert_close(softmax(torch.zeros(1, 8, dtype=torch.float64))[0], log_probs)


def test_codes_that_are_alike_share_a_group():
    centres = 10 * torch.eye(4, dtype=torch.float64)
    codes = torch.arange(16) % 4  # codes 0, 4, 8 and 12 are alike, and so on
    softmax = GroupedSoftmax(16, width=4)
    softmax.start(torch.zeros(16).log_softmax(dim=0), centres[codes] + 0.1 * torch.randn(16, 4, dtype=torch.float64))
    groups = softmax.place // softmax.size
    assert all(len(groups[codes == kind].unique()) == 1 for kind in range(4))
    assert len(groups.unique()) == 4


def test_half_precision_features_are_scored_in_float32():
    softmax = softmax_of(10).float()
    features, chosen = torch.randn(20, 8), torch.randint(10, (20,))
    with torch.autocast("cpu", torch.bfloat16):
        scored = softmax.log_probs(features.bfloat16(), chosen)
    assert scored.dtype == torch.float32
    torch.testing.assert_close(scored, softmax.log_probs(features, chosen), atol=0.1, rtol=0)


def test_several_codes_of_a_cell_depend_on_each_other():
    head = DepthHead(CodeLayout(num_embeddings=3, num_codebooks=2, grid=(2, 2)), width=4, grouped=True).double()
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    log_probs = head.log_probs(torch.randn(4, dtype=torch.float64).expand(9, -1), every)
    assert log_probs.sum(dim=1).exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert len(log_probs[:, 1].detach().unique()) == 9
