import math

import pytest
import torch
from torch import Tensor

from voxlex.quantizers.gumbel import GumbelQuantizer


@pytest.fixture
def quantizer() -> GumbelQuantizer:
    return GumbelQuantizer(num_embeddings=16, embedding_dim=4)


def probabilities(quantizer: GumbelQuantizer, z_e: Tensor) -> Tensor:
    """p(code|z) in float64, (b, *grid, K)."""
    weight, bias = (parameter.detach().double() for parameter in (quantizer.to_logits.weight, quantizer.to_logits.bias))
    return (z_e.double().movedim(1, -1) @ weight.t() + bias).softmax(dim=-1)


def test_codes_are_the_most_probable_in_both_modes(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(2, 4, 6, 5)
    expected = probabilities(quantizer, z_e).argmax(dim=-1).unsqueeze(1)
    assert torch.equal(quantizer(z_e).codes, expected)
    assert torch.equal(quantizer.eval()(z_e).codes, expected)
    assert torch.equal(quantizer.encode(z_e), expected)


def test_begins_as_a_soft_choice_of_the_nearest_codeword(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(2, 4, 6, 5)
    distances = torch.cdist(z_e.movedim(1, -1).reshape(-1, 4), quantizer.codewords()[0])
    assert torch.equal(quantizer.encode(z_e).flatten(), distances.argmin(dim=1))


def test_in_training_samples_scatter_about_the_mean_codeword(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(1, 4, 3)
    codewords = quantizer.codewords()[0].double()
    expected = (probabilities(quantizer, z_e) @ codewords).movedim(-1, 1)
    torch.testing.assert_close(quantizer.continuous(z_e).double(), expected, atol=1e-5, rtol=1e-5)
    hard = GumbelQuantizer(num_embeddings=16, embedding_dim=4, hard=True)
    hard.load_state_dict(quantizer.state_dict())
    samples = hard(z_e.expand(4000, 4, 3)).z_q.double()
    standard_error = samples.std(dim=0) / math.sqrt(4000)
    assert ((samples.mean(dim=0) - expected[0]).abs() <= 4.5 * standard_error + 1e-9).all()


def test_hard_samples_are_codewords_drawn_by_their_probability() -> None:
    quantizer = GumbelQuantizer(num_embeddings=8, embedding_dim=2, hard=True)
    z_e = torch.randn(1, 2, 1)
    samples = quantizer(z_e.expand(20_000, 2, 1)).z_q[..., 0].detach()
    is_codeword = (samples.unsqueeze(1) == quantizer.codewords()).all(dim=2)
    assert torch.equal(is_codeword.sum(dim=1), torch.ones(20_000).long())
    p = probabilities(quantizer, z_e).flatten()
    standard_error = (p * (1 - p) / 20_000).sqrt()
    assert ((is_codeword.double().mean(dim=0) - p).abs() <= 4.5 * standard_error + 1e-9).all()


@pytest.mark.parametrize("hard", [False, True])
def test_gradients_reach_latents_logits_and_codewords(hard: bool) -> None:
    quantizer = GumbelQuantizer(num_embeddings=16, embedding_dim=4, hard=hard)
    z_e = torch.randn(2, 4, 6, 5, requires_grad=True)
    quantizer(z_e).z_q.square().sum().backward()
    assert z_e.grad is not None
    for gradient in (z_e.grad, *(parameter.grad for parameter in quantizer.parameters())):
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_gradient_in_eval_mode_is_that_of_the_mean_codeword(quantizer: GumbelQuantizer) -> None:
    quantizer.eval()
    z_e, weight = torch.randn(2, 4, 5, requires_grad=True), torch.randn(2, 4, 5)
    gradient = torch.autograd.grad((quantizer(z_e).z_q * weight).sum(), z_e)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad((quantizer.continuous(z_e) * weight).sum(), z_e)[0])


def test_divergence_is_that_of_the_sampled_codes(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(3, 4, 5)
    divergence = float(quantizer(z_e).losses["kl"].detach()) / quantizer.kl_weight
    p = probabilities(quantizer, z_e).view(-1, 16)
    exact = float((p * (p * 16).log()).sum(dim=1).mean())
    assert divergence == pytest.approx(exact, rel=1e-4)
    codes = torch.multinomial(p, 20_000, replacement=True)
    ratios = (p.gather(1, codes) * 16).log().mean(dim=0)
    assert exact == pytest.approx(float(ratios.mean()), abs=4.5 * float(ratios.std()) / math.sqrt(20_000))


def test_divergence_runs_from_nothing_to_all_bits(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(1, 4, 3)
    certain = quantizer(1e3 * z_e)
    assert float(certain.losses["kl"].detach()) == pytest.approx(quantizer.kl_weight * math.log(16), rel=1e-5)
    assert certain.z_q.isfinite().all()
    with torch.no_grad():
        quantizer.to_logits.weight.zero_()
        quantizer.to_logits.bias.zero_()
    assert float(quantizer(z_e).losses["kl"].detach()) == pytest.approx(0, abs=1e-8)


def test_temperature_falls_along_a_half_cosine_and_is_saved() -> None:
    quantizer = GumbelQuantizer(num_embeddings=4, embedding_dim=2, temperature=1.0, final_temperature=1 / 16)
    temperatures = []
    for progress in (0, 0.25, 0.5, 0.75, 1, 1.5):
        quantizer.anneal(progress)
        temperatures.append(float(quantizer.temperature))
    middle, swing = 17 / 32, 15 / 32
    expected = [1, middle + swing * math.sqrt(0.5), middle, middle - swing * math.sqrt(0.5), 1 / 16, 1 / 16]
    assert temperatures == pytest.approx(expected)
    restored = GumbelQuantizer(num_embeddings=4, embedding_dim=2)
    restored.load_state_dict(quantizer.state_dict())
    assert float(restored.temperature) == 1 / 16


def test_samples_harden_as_the_temperature_falls(quantizer: GumbelQuantizer) -> None:
    z_e = torch.randn(8, 4, 50)

    def distance_to_a_codeword() -> float:
        samples = quantizer(z_e).z_q.detach().movedim(1, -1).reshape(-1, 4)
        return float(torch.cdist(samples, quantizer.codewords()[0]).amin(dim=1).mean())

    soft = distance_to_a_codeword()
    quantizer.anneal(1.0)
    assert distance_to_a_codeword() < 0.3 * soft


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.01}, "temperature: expected at least final_temperature, and both above 0"),
        ({"final_temperature": 0.0}, "temperature: expected at least final_temperature, and both above 0"),
        ({"kl_weight": -1.0}, "kl_weight: expected at least 0"),
    ],
)
def test_refuses_arguments_out_of_range(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GumbelQuantizer(**arguments)
