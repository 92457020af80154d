import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from vector_quantize_pytorch import LFQ

from voxlex.quantizers.lookup_free import LookupFreeQuantizer, code_entropies


@pytest.fixture(params=[False, True], ids=["lfq", "bsq"])
def spherical(request: pytest.FixtureRequest) -> bool:
    return request.param


def entropies_of_all_codes(z: Tensor, codewords: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The definition: a softmax over the squared distances to every codeword, N×K, float64."""
    p = (-torch.cdist(z, codewords).square() / temperature).softmax(dim=1)
    mean = p.mean(dim=0)
    return -torch.special.xlogy(p, p).sum(dim=1).mean(), -torch.special.xlogy(mean, mean).sum()


def test_codes_and_codewords_are_those_of_vector_quantize_pytorch(spherical: bool) -> None:
    z_e = torch.randn(2, 7, 6, 5)
    quantized = LookupFreeQuantizer(num_bits=7, spherical=spherical)(z_e)
    expected, codes, _ = LFQ(dim=7, spherical=spherical)(z_e)
    assert torch.equal(quantized.codes[:, 0], codes.long())
    torch.testing.assert_close(quantized.z_q, expected)


@pytest.mark.parametrize("num_bits", [1, 2, 5, 8])
def test_entropies_are_those_of_the_full_softmax(num_bits: int, spherical: bool) -> None:
    quantizer = LookupFreeQuantizer(num_bits=num_bits, spherical=spherical, temperature=0.7, diversity_weight=0.8)
    z_e = torch.randn(3, num_bits, 4, 5, requires_grad=True)
    entropy = quantizer(z_e).losses["entropy"]
    z = z_e.double().movedim(1, -1).flatten(end_dim=-2)
    z = F.normalize(z, dim=1) if spherical else z
    temperature = 0.7 / num_bits if spherical else 0.7
    certainty, diversity = entropies_of_all_codes(z, quantizer.codewords()[0].double(), temperature)
    expected = 0.1 * (certainty - 0.8 * diversity)
    torch.testing.assert_close(entropy.double(), expected, atol=1e-6, rtol=1e-5)
    gradient, expected_gradient = (torch.autograd.grad(value, z_e)[0] for value in (entropy, expected))
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-7, rtol=1e-4)


def test_entropy_loss_is_that_of_vector_quantize_pytorch(spherical: bool) -> None:
    # Theirs divides by no squared codeword coordinate, so its inverse temperature is d/τ if spherical; and it raises
    # probabilities below 1e-5 to that inside the logarithm, which soft distributions like these hardly feel.
    z_e = torch.randn(2, 6, 8, 8)
    theirs = LFQ(dim=6, spherical=spherical, entropy_loss_weight=0.3, commitment_loss_weight=0.5, diversity_gamma=0.9)
    _, expected = theirs(z_e, inv_temperature=6 / 2 if spherical else 1 / 2, return_loss_breakdown=True)
    ours = LookupFreeQuantizer(
        num_bits=6,
        spherical=spherical,
        entropy_weight=0.3,
        diversity_weight=0.9,
        commitment_cost=0.5,
        temperature=2.0,
    )(z_e)
    entropy = 0.3 * (expected.per_sample_entropy - 0.9 * expected.batch_entropy)
    torch.testing.assert_close(ours.losses["entropy"], entropy, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.losses["commitment"], 0.5 * expected.commitment)


def test_entropies_of_certain_and_of_undecided_bits() -> None:
    every_code = LookupFreeQuantizer(num_bits=6).codewords()[0]
    certainty, diversity = code_entropies(1e30 * every_code)
    assert certainty < 1e-30
    assert float(diversity) == pytest.approx(math.log(64), abs=1e-5)
    certainty, diversity = code_entropies(torch.zeros(10, 6))
    assert float(certainty) == pytest.approx(math.log(64), abs=1e-5)
    assert float(diversity) == pytest.approx(math.log(64), abs=1e-5)
    logits = torch.full((10, 6), 1e30, requires_grad=True)
    certainty, diversity = code_entropies(logits)
    assert certainty < 1e-30
    assert diversity.abs() < 1e-5
    assert torch.autograd.grad(diversity - certainty, logits)[0].isfinite().all()


def test_eighteen_bits_without_the_full_softmax() -> None:
    z_e = torch.randn(4, 18, 32, 32, requires_grad=True)  # the full softmax would take 4 GiB
    quantizer = LookupFreeQuantizer(num_bits=18)
    quantized = quantizer(z_e)
    quantized.loss.backward()
    assert z_e.grad is not None
    assert z_e.grad.isfinite().all()
    assert torch.equal(quantizer.decode(quantized.codes), quantized.z_q)


def test_gradient_passes_straight_through(spherical: bool) -> None:
    z_e, weight = torch.randn(2, 5, 4, requires_grad=True), torch.randn(2, 5, 4)
    quantizer = LookupFreeQuantizer(num_bits=5, spherical=spherical)
    gradient = torch.autograd.grad((quantizer(z_e).z_q * weight).sum(), z_e)[0]
    before_signs = F.normalize(z_e, dim=1) if spherical else z_e
    torch.testing.assert_close(gradient, torch.autograd.grad((before_signs * weight).sum(), z_e)[0])


def test_continuous_latents_keep_signs_and_bounds(spherical: bool) -> None:
    quantizer = LookupFreeQuantizer(num_bits=5, spherical=spherical)
    z_e = 3 * torch.randn(2, 5, 4, 4)
    continuous = quantizer.continuous(z_e)
    assert continuous.abs().max() <= 1
    assert torch.equal(continuous > 0, quantizer(z_e).z_q > 0)


@pytest.mark.parametrize(
    "z_e",
    [
        torch.zeros(1, 4, 3),
        torch.full((1, 4, 3), 1e30),
        torch.full((1, 4, 3), -1e-40),
        1e4 * torch.ones(1, 4, 3).half(),
    ],
)
def test_the_sphere_has_finite_values_and_gradients_everywhere(z_e: Tensor) -> None:
    quantizer = LookupFreeQuantizer(num_bits=4, spherical=True)
    z_e = z_e.clone().requires_grad_()
    quantized = quantizer(z_e)
    assert torch.equal(quantized.z_q > 0, z_e > 0)
    (quantized.loss + quantized.z_q.float().sum()).backward()
    assert quantized.loss.isfinite()
    assert z_e.grad is not None
    assert z_e.grad.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_bits": 0}, "num_bits: expected 1 to 24, got 0"),
        ({"num_bits": 25}, "num_bits: expected 1 to 24, got 25"),
        ({"entropy_weight": -1.0}, "entropy_weight: expected at least 0"),
        ({"diversity_weight": -1.0}, "diversity_weight: expected at least 0"),
        ({"commitment_cost": -1.0}, "commitment_cost: expected at least 0"),
        ({"temperature": 0.0}, "temperature: expected more than 0"),
    ],
)
def test_refuses_arguments_out_of_range(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LookupFreeQuantizer(**arguments)
