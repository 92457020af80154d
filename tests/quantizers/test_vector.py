import pytest
import torch
from torch.nn import functional as F

from voxlex.errors import CodesError
from voxlex.quantizers import VectorQuantizer


@pytest.fixture(params=["ema", "loss"])
def quantizer(request: pytest.FixtureRequest) -> VectorQuantizer:
    return VectorQuantizer(num_embeddings=16, embedding_dim=4, codebook=request.param)


@pytest.mark.parametrize("grid", [(6, 5), (3, 4, 5)])
def test_decoding_the_codes_gives_the_quantised_latents_exactly(
    quantizer: VectorQuantizer, grid: tuple[int, ...]
) -> None:
    z_e = torch.randn(2, 4, *grid)
    quantizer(z_e)
    quantized = quantizer.eval()(z_e)
    assert quantized.codes.shape == (2, 1, *grid)
    assert torch.equal(quantizer.decode(quantized.codes), quantized.z_q)
    assert torch.equal(quantizer.encode(z_e), quantized.codes)


def test_takes_the_nearest_codeword(quantizer: VectorQuantizer) -> None:
    z_e = torch.randn(2, 4, 6, 6)
    quantized = quantizer.eval()(z_e)
    vectors = z_e.movedim(1, -1).reshape(-1, 4)
    expected = torch.cdist(vectors.double(), quantizer.codewords()[0].double()).argmin(dim=1)
    assert torch.equal(quantized.codes.flatten(), expected)


def test_eval_changes_nothing_and_repeats_itself(quantizer: VectorQuantizer) -> None:
    quantizer.eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    z_e = torch.randn(2, 4, 6, 6)
    assert torch.equal(quantizer(z_e).z_q, quantizer(z_e).z_q)
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


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


def test_losses_do_not_depend_on_the_batch_size(quantizer: VectorQuantizer) -> None:
    z_e = torch.randn(2, 4, 3, 3)
    once, twice = quantizer.eval()(z_e), quantizer(torch.cat([z_e, z_e]))
    torch.testing.assert_close(once.loss, twice.loss)


def test_half_precision_in_and_out(quantizer: VectorQuantizer) -> None:
    quantized = quantizer.eval()(torch.randn(1, 4, 3, 3, dtype=torch.bfloat16))
    assert quantized.z_q.dtype == torch.bfloat16
    assert torch.equal(quantizer.decode(quantized.codes).bfloat16(), quantized.z_q)


@pytest.mark.parametrize(
    "codes", [torch.full((1, 1, 2, 2), 16), torch.full((1, 1, 2, 2), -1), torch.zeros(1, 2, 2, 2).long()]
)
def test_refuses_codes_that_are_not_its_own(quantizer: VectorQuantizer, codes: torch.Tensor) -> None:
    with pytest.raises(CodesError, match="expected"):
        quantizer.decode(codes)


def test_refuses_latents_of_another_width(quantizer: VectorQuantizer) -> None:
    with pytest.raises(ValueError, match=r"\(b, 4, \*grid\)"):
        quantizer(torch.randn(1, 3, 2, 2))


@pytest.mark.parametrize("changes", [{"num_embeddings": 0}, {"embedding_dim": 0}, {"commitment_cost": -1.0}])
def test_refuses_arguments_out_of_range(changes: dict[str, int | float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        VectorQuantizer(**changes)
