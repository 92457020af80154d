import pytest
import torch

from voxlex.priors.draw import Draw


def test_frequencies_follow_the_tempered_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5])
    draw = Draw(temperature=0.7, generator=torch.Generator().manual_seed(0))
    codes = draw(logits.expand(40_000, -1))
    frequencies = torch.bincount(codes, minlength=4) / len(codes)
    torch.testing.assert_close(frequencies, (logits / 0.7).softmax(dim=0), atol=0.01, rtol=0)


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_towards_zero_temperature_only_the_likeliest_is_left(temperature):
    logits = 30 * torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Draw(temperature=temperature)(logits), logits.argmax(dim=1))
