import math

import pytest
import torch

from voxlex.priors.draw import Draw

LOGITS = 2 * torch.randn(20, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def brute_force(row, *, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """The definitions, one code at a time."""
    weights = [math.exp(logit / temperature) for logit in row.tolist()]
    order = sorted(range(len(weights)), key=lambda code: -weights[code])
    kept = order[:top_k]
    if top_p is not None:
        total, mass, nucleus = sum(weights[code] for code in kept), 0.0, []
        for code in kept:
            if mass < top_p * total:
                nucleus.append(code)
            mass += weights[code]
        kept = nucleus
    if min_p is not None:
        kept = [code for code in kept if weights[code] >= min_p * weights[order[0]]]
    total = sum(weights[code] for code in kept)
    return torch.tensor([weights[code] / total if code in kept else 0.0 for code in range(len(weights))]).double()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 100},
        {"top_p": 0.8},
        {"top_p": 1e-9},
        {"top_p": 1.0},
        {"min_p": 0.1},
        {"min_p": 0.0},
        {"min_p": 1.0},
        {"top_k": 4, "top_p": 0.9},
        {"top_p": 0.9, "min_p": 0.2},
        {"temperature": 1.7, "top_k": 5, "top_p": 0.7, "min_p": 0.3},
    ],
)
def test_probabilities_are_those_of_the_definitions(options):
    expected = torch.stack([brute_force(row, **options) for row in LOGITS])
    torch.testing.assert_close(Draw(**options).probabilities(LOGITS), expected, atol=1e-7, rtol=1e-6)


def test_what_top_k_leaves_is_the_whole_for_top_p():
    # Half of four equal codes is two of them; of all eight it would be all four.
    logits = torch.tensor([[1.0] * 4 + [0.99] * 4])
    kept = Draw(top_k=4, top_p=0.5).probabilities(logits).count_nonzero()
    assert kept == 2
    assert Draw(top_p=0.5).probabilities(logits).count_nonzero() == 4


def test_ties_at_the_edge_of_top_k_leave_no_more_than_k():
    assert Draw(top_k=2).probabilities(torch.zeros(1, 5)).count_nonzero() == 2


def test_a_whole_nucleus_cuts_nothing_by_rounding():
    logits = torch.linspace(0, -60, 4096).unsqueeze(0)
    assert torch.equal(Draw(top_p=1.0).probabilities(logits), Draw().probabilities(logits))


@pytest.mark.parametrize("k", [1, 2, 4, 5, 16, 37])
def test_frequencies_follow_the_probabilities(k):
    logits = 1.5 * torch.randn(1, k, generator=torch.Generator().manual_seed(k))
    draw = Draw(temperature=0.7, top_k=max(1, k - 2), generator=torch.Generator().manual_seed(0))
    codes = draw(logits.expand(40_000, -1))
    frequencies = torch.bincount(codes, minlength=k) / len(codes)
    expected = draw.probabilities(logits)[0]
    # Five standard deviations of a share of 40 000, at most.
    torch.testing.assert_close(frequencies, expected, atol=0.0125, rtol=0)
    assert (frequencies[expected == 0] == 0).all()


def test_draws_of_one_call_are_independent():
    codes = Draw(generator=torch.Generator().manual_seed(0))(torch.zeros(40_000, 16)).view(-1, 2)
    pairs = torch.bincount(16 * codes[:, 0] + codes[:, 1], minlength=256)
    # χ² of 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert 160 < ((pairs - 78.125).square() / 78.125).sum() < 350


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_towards_zero_temperature_only_the_likeliest_is_left(temperature):
    logits = 30 * torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Draw(temperature=temperature, top_p=0.5, min_p=0.5)(logits), logits.argmax(dim=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", bad) for bad in (0.0, -1.0, math.nan, math.inf)]
    + [("top_k", bad) for bad in (0, -3)]
    + [("top_p", bad) for bad in (0.0, 1.1, math.nan)]
    + [("min_p", bad) for bad in (-0.1, 1.1, math.nan)],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must .* not {value}"):
        Draw(**{name: value})
