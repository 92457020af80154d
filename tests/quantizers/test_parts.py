"""A codebook learns from several forward passes of one step as from one over all of their latents."""

import copy

import pytest
import torch

from voxlex.quantizers import Quantizer, ResidualQuantizer, VectorQuantizer


def vector(**options) -> VectorQuantizer:
    return VectorQuantizer(num_embeddings=16, embedding_dim=4, revival_threshold=0.5, **options)


KINDS = {
    "ema": lambda: vector(),
    "cosine": lambda: vector(distance="cosine"),
    "rates": lambda: vector(rate_weight=0.1),
    "residual": lambda: ResidualQuantizer(stages=[vector(), vector()]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_learned_from_together(kind: str) -> None:
    at_once: Quantizer = KINDS[kind]()
    at_once(torch.randn(8, 4, 5, 5))
    in_parts = copy.deepcopy(at_once)
    for step in range(20):  # long enough for revivals
        latents = torch.randn(4, 4, 5, 5) + 0.1 * step
        torch.manual_seed(step)
        at_once(latents)
        torch.manual_seed(step)
        for place, part in enumerate(latents.chunk(2)):
            in_parts.expect_more(place == 0)
            in_parts(part)
    for name, tensor in at_once.state_dict().items():
        torch.testing.assert_close(in_parts.state_dict()[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_nothing_is_learned_before_the_last_part() -> None:
    quantizer = vector()
    quantizer(torch.randn(8, 4, 5, 5))
    before = copy.deepcopy(quantizer.state_dict())
    quantizer.expect_more(True)
    quantizer(torch.randn(8, 4, 5, 5))
    for name, tensor in quantizer.state_dict().items():
        assert torch.equal(before[name], tensor), name
