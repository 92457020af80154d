import math

import pytest
import torch

from voxlex.priors.draw import Draw
from voxlex.priors.guidance import GuidedDraw


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_both_rows_of_an_image_get_the_same_code():
    codes = GuidedDraw(guidance=2.0, generator=seeded())(torch.randn(2 * 50, 7))
    assert torch.equal(codes[:50], codes[50:])
    assert len(codes.unique()) > 1


def test_the_distribution_is_the_ratio_of_the_two_raised_to_the_guidance():
    conditional, unconditional = torch.randn(2, 5, 7).double().softmax(dim=-1)
    expected = unconditional * (conditional / unconditional) ** 2.5
    expected = expected / expected.sum(dim=1, keepdim=True)
    logits = torch.cat([conditional.log(), unconditional.log() + 3.0])
    torch.testing.assert_close(GuidedDraw(guidance=2.5).guided(logits).softmax(dim=1), expected)


def test_truncations_come_after_the_guidance():
    logits = torch.randn(100, 7)
    guided = logits[50:] + 3.0 * (logits[:50] - logits[50:])
    options = {"temperature": 0.8, "top_k": 3, "min_p": 0.1}
    expected = Draw(generator=seeded(), **options)(guided)
    assert torch.equal(GuidedDraw(guidance=3.0, generator=seeded(), **options)(logits)[:50], expected)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_guided_samples_are_those_of_the_definition(make_pixelcnn, labelled, num_codebooks):
    prior = make_pixelcnn(conditions=labelled, num_codebooks=num_codebooks, grid=(3, 3))
    condition, draw = labelled.encode({"label": ["a", "b", "b"]}), Draw(generator=seeded())
    expected = torch.zeros(3, num_codebooks, 3, 3, dtype=torch.int64)
    for i in range(3):
        for j in range(3):
            for depth in range(num_codebooks):
                conditional, unconditional = (prior(expected, c)[:, :, depth, i, j] for c in (condition, None))
                expected[:, depth, i, j] = draw((unconditional + 2.0 * (conditional - unconditional)).detach())
    assert torch.equal(prior.sample(3, condition=condition, guidance=2.0, generator=seeded()), expected)


def test_guidance_of_one_is_none_and_of_zero_ignores_the_condition(make_pixelcnn, labelled):
    prior = make_pixelcnn(conditions=labelled)
    condition = labelled.encode({"label": ["a", "b", "b"]})
    plain = prior.sample(3, condition=condition, generator=seeded())
    assert torch.equal(prior.sample(3, condition=condition, guidance=1.0, generator=seeded()), plain)
    ignored = prior.sample(3, condition=condition, guidance=0.0, generator=seeded())
    assert torch.equal(ignored, prior.sample(3, generator=seeded()))


def test_more_guidance_makes_samples_more_typical_of_their_class(make_pixelcnn, labelled):
    prior = make_pixelcnn(conditions=labelled)
    condition = labelled.encode({"label": ["b"] * 500})
    typical = []
    for guidance in (0.0, 1.0, 3.0):
        codes = prior.sample(500, condition=condition, guidance=guidance, generator=seeded())
        typical.append((prior.log_prob(codes, condition) - prior.log_prob(codes)).mean().item())
    assert typical[0] < 0 < typical[1] < typical[2]


def test_guidance_is_refused_where_there_is_nothing_to_guide_by(make_pixelcnn, labelled):
    with pytest.raises(ValueError, match="no conditions"):
        make_pixelcnn().sample(2, guidance=2.0)
    prior = make_pixelcnn(conditions=labelled)
    for condition in (None, labelled.encode({"label": ["b", ""]})):
        with pytest.raises(ValueError, match="guidance needs a condition for every image"):
            prior.sample(2, condition=condition, guidance=2.0)


@pytest.mark.parametrize("guidance", [-1.0, math.nan, math.inf])
def test_guidance_out_of_range_is_refused(make_pixelcnn, labelled, guidance):
    with pytest.raises(ValueError, match="guidance must"):
        make_pixelcnn(conditions=labelled).sample(1, condition=labelled.encode({"label": ["a"]}), guidance=guidance)
