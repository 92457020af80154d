import pytest
import torch
from torch.nn import functional as F

from voxlex.quantizers import VectorQuantizer


@pytest.fixture(params=["ema", "loss"])
def quantizer(request: pytest.FixtureRequest) -> VectorQuantizer:
    return VectorQuantizer(num_embeddings=16, embedding_dim=4, codebook=request.param)


def test_takes_the_nearest_codeword(quantizer: VectorQuantizer) -> None:
    z_e = torch.randn(2, 4, 6, 6)
    quantized = quantizer.eval()(z_e)
    vectors = z_e.movedim(1, -1).reshape(-1, 4)
    expected = torch.cdist(vectors.double(), quantizer.codewords()[0].double()).argmin(dim=1)
    assert torch.equal(quantized.codes.flatten(), expected)


def test_the_gradient_passes_straight_through(quantizer: VectorQuantizer) -> None:
    z_e = torch.randn(2, 4, 3, 3, requires_grad=True)
    weight = torch.randn(2, 4, 3, 3)
    (quantizer(z_e).z_q * weight).sum().backward()
    assert z_e.grad is not None
    assert torch.equal(z_e.grad, weight)


def test_losses_are_those_of_the_paper() -> None:
    quantizer = VectorQuantizer(num_embeddings=16, embedding_dim=4, codebook="loss", commitment_cost=0.25).eval()
    z_e = torch.randn(2, 4, 3, 3, requires_grad=True)
    quantized = quantizer(z_e)
    distance = F.mse_loss(z_e, quantized.z_q.detach())
    torch.testing.assert_close(quantized.losses["commitment"], 0.25 * distance)
    torch.testing.assert_close(quantized.losses["codebook"], distance)
    gradient = torch.autograd.grad(quantized.losses["commitment"], z_e)[0]
    torch.testing.assert_close(gradient, 0.25 * 2 * (z_e - quantized.z_q).detach() / z_e.numel())
    gradient = torch.autograd.grad(quantized.losses["codebook"], quantizer.codebook.embeddings)[0]
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("changes", [{"num_embeddings": 0}, {"embedding_dim": 0}, {"commitment_cost": -1.0}])
def test_refuses_arguments_out_of_range(changes: dict[str, int | float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        VectorQuantizer(**changes)
