"""Codewords whose bits are weighed against their distance."""

import pytest
import torch

from voxlex.metrics import code_counts, entropy_bits
from voxlex.quantizers import GroupedQuantizer, ResidualQuantizer, VectorQuantizer
from voxlex.quantizers.rates import CodewordRates


def trained(rate_weight: float, *, steps: int = 300) -> VectorQuantizer:
    """Return a quantizer that has learned a distribution with a dense middle and wide tails."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(num_embeddings=64, embedding_dim=2, rate_weight=rate_weight).train()
    for step in range(steps):
        quantizer.anneal(step / steps)
        quantizer(some_latents())
    return quantizer.eval()


def some_latents() -> torch.Tensor:
    return torch.randn(4, 2, 8, 8) * torch.randn(4, 1, 8, 8).exp()


def test_the_penalty_is_the_weighted_rate() -> None:
    rates = CodewordRates(num_embeddings=3, weight=0.5, decay=0.9)
    rates.learn(torch.tensor([1.0, 3.0]), torch.tensor([4.0, 2.0, 2.0]))
    torch.testing.assert_close(rates.penalty, torch.tensor([1.0, 2.0, 2.0]))  # 0.5 · 2.0 · (1, 2 and 2 bits)
    rates.learn(torch.tensor([12.0]), torch.tensor([4.0, 4.0, 0.0]))
    torch.testing.assert_close(rates.penalty, torch.tensor([1.5, 1.5, 24.0]))  # 0.5 · 3.0 · (1, 1 and at most 16 bits)


def test_weighed_bits_save_more_bits_than_they_cost_in_distance() -> None:
    plain, weighed = trained(0.0), trained(0.3)
    torch.manual_seed(1)
    latents = torch.cat([some_latents() for _ in range(32)])
    bits, errors = [], []
    for quantizer in (plain, weighed):
        codes = quantizer.encode(latents)
        bits.append(entropy_bits(code_counts(codes, 64)))
        errors.append(float((quantizer.decode(codes) - latents).square().mean()))
    assert bits[1] < bits[0] - 0.5
    # At high rates, a bit less for each vector of two numbers doubles the squared error.
    assert errors[1] < errors[0] * 2 ** (bits[0] - bits[1])


def test_codes_are_the_best_by_distance_and_rate() -> None:
    quantizer = trained(0.3, steps=50)
    assert quantizer.rates is not None
    latents = some_latents()
    vectors = latents.movedim(1, -1).flatten(0, 2).double()
    costs = torch.cdist(vectors, quantizer.codewords()[0].double()).square() + quantizer.rates.penalty.double()
    found = costs.gather(1, quantizer.encode(latents).flatten().unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, costs.amin(dim=1), rtol=1e-4, atol=1e-5)
    assert torch.equal(quantizer(latents).codes, quantizer.encode(latents))


def test_a_quantizer_without_weight_is_the_plain_one() -> None:
    assert "rates.penalty" not in VectorQuantizer(num_embeddings=4, embedding_dim=2).state_dict()
    assert VectorQuantizer(num_embeddings=4, embedding_dim=2).equal_use
    with pytest.raises(ValueError, match="rate_weight"):
        VectorQuantizer(rate_weight=-1.0)


def test_the_state_holds_what_decides_about_codes() -> None:
    quantizer, latents = trained(0.3, steps=50), some_latents()
    again = VectorQuantizer(num_embeddings=64, embedding_dim=2, rate_weight=0.3).eval()
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again.encode(latents), quantizer.encode(latents))


def test_composed_quantizers_aim_at_what_their_parts_aim_at() -> None:
    def parts(weight: float) -> list[VectorQuantizer]:
        return [VectorQuantizer(num_embeddings=8, embedding_dim=2, rate_weight=weight) for _ in range(2)]

    for weight in (0.0, 0.1):
        assert ResidualQuantizer(stages=parts(weight)).equal_use == (weight == 0)
        assert GroupedQuantizer(groups=parts(weight)).equal_use == (weight == 0)
