import math

import pytest
import torch

from voxlex.priors.draw import CompletingDraw, Draw, GuidedDraw, RandomDraw, resampled

from .kinds import seeded

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
    torch.testing.assert_close(RandomDraw(**options).probabilities(LOGITS), expected, atol=1e-7, rtol=1e-6)


def test_what_top_k_leaves_is_the_whole_for_top_p():
    # Half of four equal codes is two of them; of all eight it would be all four.
    logits = torch.tensor([[1.0] * 4 + [0.99] * 4])
    kept = RandomDraw(top_k=4, top_p=0.5).probabilities(logits).count_nonzero()
    assert kept == 2
    assert RandomDraw(top_p=0.5).probabilities(logits).count_nonzero() == 4


def test_ties_at_the_edge_of_top_k_leave_no_more_than_k():
    assert RandomDraw(top_k=2).probabilities(torch.zeros(1, 5)).count_nonzero() == 2


def test_a_whole_nucleus_cuts_nothing_by_rounding():
    logits = torch.linspace(0, -60, 4096).unsqueeze(0)
    assert torch.equal(RandomDraw(top_p=1.0).probabilities(logits), RandomDraw().probabilities(logits))


@pytest.mark.parametrize("k", [1, 2, 4, 5, 16, 37])
def test_frequencies_follow_the_probabilities(k):
    logits = 1.5 * torch.randn(1, k, generator=torch.Generator().manual_seed(k))
    draw = RandomDraw(temperature=0.7, top_k=max(1, k - 2), generator=torch.Generator().manual_seed(0))
    codes = draw(logits.expand(40_000, -1), codebook=0, cells=0)
    frequencies = torch.bincount(codes, minlength=k) / len(codes)
    expected = draw.probabilities(logits)[0]
    # Five standard deviations of a share of 40 000, at most.
    torch.testing.assert_close(frequencies, expected, atol=0.0125, rtol=0)
    assert (frequencies[expected == 0] == 0).all()


def test_draws_of_one_call_are_independent():
    codes = RandomDraw(generator=torch.Generator().manual_seed(0))(torch.zeros(40_000, 16), codebook=0, cells=0).view(
        -1, 2
    )
    pairs = torch.bincount(16 * codes[:, 0] + codes[:, 1], minlength=256)
    # χ² of 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert 160 < ((pairs - 78.125).square() / 78.125).sum() < 350


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_towards_zero_temperature_only_the_likeliest_is_left(temperature):
    logits = 30 * torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
    draw = RandomDraw(temperature=temperature, top_p=0.5, min_p=0.5)
    assert torch.equal(draw(logits, codebook=0, cells=0), logits.argmax(dim=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", bad) for bad in (0.0, -1.0, math.nan, math.inf)]
    + [("top_k", bad) for bad in (0, -3)]
    + [("top_p", bad) for bad in (0.0, 1.1, math.nan)]
    + [("min_p", bad) for bad in (-0.1, 1.1, math.nan)],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got {value}$"):
        RandomDraw(**{name: value})


def test_rows_of_several_axes_are_drawn_as_in_one():
    logits = torch.randn(3, 4, 7)
    cells = torch.arange(12).view(3, 4)
    codes = RandomDraw(generator=seeded())(logits, codebook=0, cells=cells)
    assert torch.equal(codes.flatten(), RandomDraw(generator=seeded())(logits.flatten(0, 1), codebook=0, cells=0))


def test_both_rows_of_an_image_get_the_same_code_confidence_and_noise():
    draw = GuidedDraw(RandomDraw(generator=seeded()), guidance=2.0)
    logits = torch.randn(2 * 5, 10, 7)
    codes = draw(logits, codebook=0, cells=torch.arange(10).expand(10, -1))
    confidence = draw.confidence(logits, codes)
    assert torch.equal(codes[:5], codes[5:])
    assert len(codes.unique()) > 1
    assert torch.equal(confidence[:5], confidence[5:])
    log_probs = draw.guided(logits).log_softmax(dim=2)
    torch.testing.assert_close(confidence[:5], log_probs.gather(2, codes[:5, :, None]).squeeze(2))
    noise = draw.noise(confidence)
    assert torch.equal(noise[:5], noise[5:])
    assert len(noise.unique()) == 50


def test_the_distribution_is_the_ratio_of_the_two_raised_to_the_guidance():
    conditional, unconditional = torch.randn(2, 5, 7).double().softmax(dim=-1)
    expected = unconditional * (conditional / unconditional) ** 2.5
    expected = expected / expected.sum(dim=1, keepdim=True)
    logits = torch.cat([conditional.log(), unconditional.log() + 3.0])
    torch.testing.assert_close(GuidedDraw(RandomDraw(), guidance=2.5).guided(logits).softmax(dim=1), expected)


def test_truncations_come_after_the_guidance():
    logits = torch.randn(100, 7)
    guided = logits[50:] + 3.0 * (logits[:50] - logits[50:])
    options = {"temperature": 0.8, "top_k": 3, "min_p": 0.1}
    expected = RandomDraw(generator=seeded(), **options)(guided, codebook=0, cells=0)
    draw = GuidedDraw(RandomDraw(generator=seeded(), **options), guidance=3.0)
    assert torch.equal(draw(logits, codebook=0, cells=0)[:50], expected)


def test_noise_is_gumbel_noise_where_a_draw_is_random_and_none_elsewhere():
    class First(Draw):
        def __call__(self, logits, *, codebook, cells):
            return torch.zeros(logits.shape[:-1], dtype=torch.int64)

    like = torch.zeros(200, 200, dtype=torch.float64)
    noise = RandomDraw(generator=seeded()).noise(like)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.03)
    assert noise.std().item() == pytest.approx(math.pi / 6**0.5, abs=0.03)
    assert isinstance(First(), Draw)
    assert torch.equal(First().noise(like), like)


@pytest.mark.parametrize("guided", [False, True])
def test_completing_gives_known_codes_and_adds_up_how_likely_they_were(guided):
    known = torch.tensor([[[0, 1], [2, 3]], [[3, 2], [1, 0]]])
    completing = CompletingDraw(RandomDraw(generator=seeded()), known=known, hidden=torch.tensor([[True, False]] * 2))
    draw = GuidedDraw(completing, guidance=2.0) if guided else completing
    evidence = torch.zeros(5)
    for codebook in range(2):
        for cell in range(4):
            logits = torch.randn(10 if guided else 5, 4)
            codes = draw(logits, codebook=codebook, cells=cell)[:5]
            if cell % 2:
                code = known[codebook].flatten()[cell]
                assert (codes == code).all()
                evidence += (draw.guided(logits) if guided else logits).log_softmax(dim=1)[:, code]
    torch.testing.assert_close(completing.evidence, evidence)


def test_completing_works_on_many_cells_at_once():
    known = torch.randint(4, (1, 6))[None]
    hidden = torch.tensor([[False, True] * 3])
    logits, cells = torch.randn(5, 4, 4), torch.tensor([0, 1, 2, 3]).expand(5, -1)
    completing = CompletingDraw(RandomDraw(generator=seeded()), known=known, hidden=hidden)
    codes = completing(logits, codebook=0, cells=cells)
    assert torch.equal(codes[:, ::2], known[0, 0, [0, 2]].expand(5, -1))
    assert len(codes[:, 1::2].unique()) > 1
    expected = logits.log_softmax(dim=2)[:, [0, 2]].gather(2, codes[:, ::2, None]).sum(dim=(1, 2))
    torch.testing.assert_close(completing.evidence, expected)


def test_candidates_are_chosen_by_their_weights_from_those_of_their_result():
    log_weights = torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.0, 0.5]]).log()
    chosen = resampled(log_weights, 20_000, seeded()).view(2, 20_000)
    shares = torch.stack([torch.bincount(rows, minlength=6) for rows in chosen]) / 20_000
    torch.testing.assert_close(shares[0], torch.tensor([0.2, 0.8, 0, 0, 0, 0]), rtol=0, atol=0.02)
    torch.testing.assert_close(shares[1], torch.tensor([0, 0, 0, 0.5, 0, 0.5]), rtol=0, atol=0.02)
    assert resampled(torch.zeros(3, 1), 2, None).tolist() == [0, 0, 1, 1, 2, 2]
