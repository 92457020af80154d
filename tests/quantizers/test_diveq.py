"""DiVeQ: the formula of the paper in float64, and another library; and what a codebook learns by it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from vector_quantize_pytorch.vector_quantize_pytorch import directional_reparam

from voxlex.quantizers import (
    FiniteScalarQuantizer,
    GumbelQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from voxlex.quantizers.gradients import diveq

D, VARIANCE = 4, 0.01


def quantizer_of(**changes: object) -> VectorQuantizer:
    settings = {"num_embeddings": 16, "embedding_dim": D, "codebook": "loss", "gradient": "diveq"}
    return VectorQuantizer(**(settings | {"commitment_cost": 0.0} | changes))


def by_formula(z_e: Tensor, z_q: Tensor, noise: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The result and the gradients of the latent and of the codeword, for one vector."""
    length = (z_q - z_e).norm()
    u, e = F.normalize(z_q - z_e + noise, dim=0), (z_q - z_e) / length
    return z_e + length * u, g - e * (u @ g), e * (u @ g)


@pytest.mark.parametrize("variance", [0.0, VARIANCE])
def test_the_result_and_both_gradients_equal_the_formula(variance: float) -> None:
    z_e, z_q, weight = (torch.randn(50, D, dtype=torch.float64) for _ in range(3))
    z_e.requires_grad_(), z_q.requires_grad_()
    torch.manual_seed(5)
    noise = variance**0.5 * torch.randn(50, D, dtype=torch.float64)
    torch.manual_seed(5)
    moved = diveq(z_e, z_q, variance=variance)
    gradients = torch.autograd.grad((moved * weight).sum(), [z_e, z_q])
    rows = [by_formula(*row) for row in zip(z_e.detach(), z_q.detach(), noise, weight, strict=True)]
    for found, expected in zip((moved, *gradients), zip(*rows, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(expected))
    assert torch.equal(moved, z_q) == (variance == 0)


def test_equals_vector_quantize_pytorch_with_the_same_noise() -> None:
    found, expected = [], []
    for results, function in ((found, lambda *v: diveq(*v, variance=VARIANCE)), (expected, directional_reparam)):
        torch.manual_seed(3)
        z_e, z_q, weight = torch.randn(50, D).requires_grad_(), torch.randn(50, D).requires_grad_(), torch.randn(50, D)
        arguments = (z_e, z_q) if results is found else (z_e, z_q, VARIANCE)
        moved = function(*arguments)
        results += [moved, *torch.autograd.grad((moved * weight).sum(), [z_e, z_q])]
    torch.testing.assert_close(found, expected)


def test_a_latent_on_its_codeword_passes_the_gradient_on() -> None:
    z_e, weight = torch.randn(3, D), torch.randn(3, D)
    z_q = z_e.clone().requires_grad_()
    z_e.requires_grad_()
    for variance in (0.0, VARIANCE):
        moved = diveq(z_e, z_q, variance=variance)
        of_latent, of_codeword = torch.autograd.grad((moved * weight).sum(), [z_e, z_q])
        assert torch.equal(moved, z_e)
        assert torch.equal(of_latent, weight)
        assert not of_codeword.any()


def test_in_training_the_result_is_as_far_from_the_latent_as_the_codeword() -> None:
    quantizer, z_e = quantizer_of(), torch.randn(2, D, 5, 6)
    quantizer.eval()
    taken = quantizer(z_e).z_q
    quantizer.codebook.started.fill_(True)  # so that the codewords stay where they are
    z_q = quantizer.train()(z_e).z_q
    assert not torch.equal(z_q, taken)
    torch.testing.assert_close((z_q - z_e).norm(dim=1), (taken - z_e).norm(dim=1))
    assert F.cosine_similarity(z_q - z_e, taken - z_e).mean() > 0.9


def test_codewords_learn_from_the_decoder_what_their_own_loss_would_teach() -> None:
    z_e, taught = torch.randn(2, D, 5, 6), []
    for gradient in ("diveq", "straight_through"):
        torch.manual_seed(1)
        quantizer = quantizer_of(gradient=gradient).eval()
        quantized = quantizer(z_e)
        loss = F.mse_loss(quantized.z_q, z_e) if gradient == "diveq" else quantized.losses["codebook"]
        taught += torch.autograd.grad(loss, quantizer.codebook.embeddings)
    assert taught[0].any()
    torch.testing.assert_close(*taught)


def test_it_needs_no_loss_but_takes_a_commitment_loss_if_told() -> None:
    z_e = torch.randn(2, D, 5, 6)
    assert not quantizer_of()(z_e).losses
    assert list(quantizer_of(commitment_cost=0.25)(z_e).losses) == ["commitment"]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30], ids=str)
@pytest.mark.filterwarnings("ignore:latents")
def test_a_bad_latent_teaches_no_codeword_and_gets_the_gradient_of_its_codeword(bad: float) -> None:
    quantizer = quantizer_of()
    quantizer(torch.randn(2, D, 5, 6))
    z_e, weight = torch.randn(1, D, 3), torch.zeros(1, D, 3)
    z_e[0, :, 1], weight[0, :, 1] = bad, 1.0
    of_latents, of_codewords = torch.autograd.grad(
        (quantizer(z_e.requires_grad_()).z_q * weight).sum(), [z_e, quantizer.codebook.embeddings]
    )
    assert torch.equal(of_latents, weight)
    assert not of_codewords.any()


def test_refuses_a_codebook_of_running_means() -> None:
    with pytest.raises(ValueError, match=r"gradient: expected .* with codebook='ema', got 'diveq'; use"):
        VectorQuantizer(gradient="diveq")


@pytest.mark.parametrize(
    "stage", [quantizer_of(), GumbelQuantizer(), FiniteScalarQuantizer()], ids=lambda stage: type(stage).__name__
)
def test_a_residual_sum_refuses_stages_that_could_not_learn(stage: Quantizer) -> None:
    with pytest.raises(ValueError, match=f"stages: expected quantizers that .*, got {type(stage).__name__}"):
        ResidualQuantizer(stages=[stage], num_codebooks=2)
