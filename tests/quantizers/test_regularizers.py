import math

import torch
from torch import Tensor

from voxlex.quantizers.regularizers import entropy_loss, orthogonality_loss


def brute_force(vectors: Tensor, codewords: Tensor, variance: float) -> Tensor:
    """The entropy term with the whole N×K posterior in float64."""
    distances = torch.cdist(vectors.double(), codewords.double()).square()
    posterior = (-distances / (2 * variance)).softmax(dim=1)
    mean = posterior.mean(dim=0)
    uncertainty = -(posterior * posterior.log()).sum(dim=1).mean()
    return 2 * variance * (uncertainty + (mean * mean.log()).sum())


def test_the_entropy_term_equals_brute_force_in_value_and_gradient() -> None:
    vectors, codewords = torch.randn(500, 4, requires_grad=True), torch.randn(3000, 4, requires_grad=True)
    tiled, whole = entropy_loss(vectors, codewords, torch.tensor(0.3)), brute_force(vectors, codewords, 0.3)
    torch.testing.assert_close(tiled.double(), whole, rtol=1e-4, atol=1e-6)
    gradients = (torch.autograd.grad(loss, (vectors, codewords)) for loss in (tiled, whole))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_the_entropy_term_is_lowest_for_sure_and_even_assignments() -> None:
    codewords = torch.eye(4)
    even, one = codewords.repeat(8, 1), codewords[:1].repeat(32, 1)
    sure = torch.tensor(0.01)
    torch.testing.assert_close(entropy_loss(even, codewords, sure), torch.tensor(-0.02 * math.log(4)))
    torch.testing.assert_close(entropy_loss(one, codewords, sure), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_orthogonality_equals_the_formula() -> None:
    codewords = torch.randn(50, 8)
    unit = codewords.double() / codewords.double().norm(dim=1, keepdim=True)
    expected = (unit @ unit.t() - torch.eye(50).double()).square().sum() / 50**2
    torch.testing.assert_close(orthogonality_loss(codewords).double(), expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(orthogonality_loss(torch.eye(8)), torch.tensor(0.0))
