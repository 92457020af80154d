import pytest
import torch
from torch import nn

from voxlex.codes import CodeLayout
from voxlex.priors.depth import CHUNK, DepthHead, chunked_log_probs
from voxlex.priors.draw import RandomDraw


@pytest.fixture
def head() -> DepthHead:
    return DepthHead(CodeLayout(num_embeddings=3, num_codebooks=3, grid=(3, 4)), width=4).double()


@pytest.fixture
def every_code() -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(3)] * 3)


def test_probabilities_of_all_codes_of_a_cell_sum_to_one(head, every_code):
    for features in torch.randn(2, 4, dtype=torch.float64):
        log_probs = head.log_probs(features.expand(len(every_code), -1), every_code)
        assert log_probs.sum(dim=1).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_log_probs_are_those_of_the_logits_and_so_are_their_gradients(head, every_code):
    features = torch.randn(len(every_code), 4, dtype=torch.float64, requires_grad=True)
    scored = head.log_probs(features, every_code)
    expected = head(features, every_code).log_softmax(dim=1).gather(1, every_code.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(scored, expected)
    weights = torch.randn_like(scored)
    inputs = [features, *head.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((scored * weights).sum(), inputs), torch.autograd.grad((expected * weights).sum(), inputs)
    )


def test_a_code_depends_on_the_codes_before_it_alone(head):
    features, codes = torch.randn(1, 4, dtype=torch.float64), torch.tensor([[0, 1, 2]])
    before = head(features, codes)
    for depth in range(3):
        changed = codes.clone()
        changed[0, depth] = (changed[0, depth] + 1) % 3
        moved = (head(features, changed) != before)[0].any(dim=0)
        assert moved.tolist() == [other > depth for other in range(3)]


def test_draws_follow_the_log_probs(head, every_code):
    n = 40_000
    features = torch.randn(4, dtype=torch.float64)
    expected = head.log_probs(features.expand(27, -1), every_code).sum(dim=1).exp()
    codes = head.draw(features.expand(n, -1), RandomDraw(generator=torch.Generator().manual_seed(0)), cells=0)
    counts = torch.bincount((codes * torch.tensor([9, 3, 1])).sum(dim=1), minlength=27)
    # Five standard deviations of a share of 40 000, at most.
    torch.testing.assert_close(counts / n, expected.float(), atol=0.0125, rtol=0)


def test_it_learns_how_the_codes_of_a_cell_depend_on_each_other():
    # The first code is free; the others follow from those before it in no linear way.
    torch.manual_seed(0)
    head = DepthHead(CodeLayout(num_embeddings=4, num_codebooks=3, grid=(1, 1)), width=16)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    free = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    codes = torch.stack([free[:, 0], free[:, 1], free.sum(dim=1) % 4], dim=1)
    features = torch.zeros(len(codes), 16)
    for _ in range(300):
        optimizer.zero_grad()
        loss = -head.log_probs(features, codes).mean(dim=0)
        loss.sum().backward()
        optimizer.step()
    torch.testing.assert_close(loss, torch.tensor([4.0, 4.0, 1.0]).log(), atol=0.02, rtol=0)


def test_grids_are_cells_in_another_shape(head):
    features, codes = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randint(3, (2, 3, 3, 4))
    logits, scored = head(features, codes), head.log_probs(features, codes)
    for image, i, j in [(0, 0, 0), (1, 2, 3), (0, 2, 1)]:
        cell = features[image, None, i, j], codes[image, None, :, i, j]
        torch.testing.assert_close(logits[image, :, :, i, j], head(*cell)[0])
        torch.testing.assert_close(scored[image, :, i, j], head.log_probs(*cell)[0])


def test_chunks_change_neither_the_value_nor_the_gradient():
    generator = torch.Generator().manual_seed(0)
    n = 2 * CHUNK + 37
    head = nn.Linear(4, 9).double()
    features = torch.randn(n, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    codes = torch.randint(9, (n,), generator=generator)
    weights = torch.randn(n, dtype=torch.float64, generator=generator)

    chunked = chunked_log_probs(head, features, codes)
    whole = head(features).log_softmax(dim=1)[torch.arange(n), codes]
    torch.testing.assert_close(chunked, whole)

    inputs = [features, head.weight, head.bias]
    torch.testing.assert_close(
        torch.autograd.grad(chunked @ weights, inputs), torch.autograd.grad(whole @ weights, inputs)
    )


def test_half_precision_features_are_scored_in_float32():
    head = nn.Linear(4, 9).bfloat16()
    features = torch.randn(50, 4, dtype=torch.bfloat16)
    codes = torch.randint(9, (50,))
    with torch.no_grad():
        log_probs = chunked_log_probs(head, features, codes)
        expected = head(features).float().log_softmax(dim=1)[torch.arange(50), codes]
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs, expected)
