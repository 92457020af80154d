import itertools
import math
from fractions import Fraction

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors.draw import RandomDraw
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.unmasking import (
    halton_ranks,
    hide_for_likelihood,
    hide_for_loss,
    left_hidden,
    step_for_loss,
    steps_of,
)
from voxlex.streams import streams_for

from .kinds import LABELLED, Case, assert_frequencies, every_image, labels, random_codes, seeded, small


def log_probs_by_order(prior, codes):
    """Log-likelihood of grids for every order in which their cells can be drawn one at a time."""
    cells = math.prod(prior.layout.grid)
    orders = []
    for order in itertools.permutations(range(cells)):
        hidden = torch.ones(len(codes), cells, dtype=torch.bool)
        total = 0.0
        for cell in order:
            log_probs = prior(codes, hidden=hidden).log_softmax(dim=1).gather(1, codes.unsqueeze(1))
            total = total + log_probs.flatten(3)[..., cell].sum(dim=(1, 2))
            hidden[:, cell] = False
        orders.append(total)
    return torch.stack(orders)


def every_subset(cells):
    """Hidden cells, each size as often as any other, and each subset as often as any other of its size."""
    subsets = torch.cartesian_prod(*[torch.tensor([False, True])] * cells)[1:]
    sizes = subsets.sum(dim=1)
    copies = math.lcm(*sizes.bincount()[1:].tolist()) // sizes.bincount()[sizes]
    return subsets.repeat_interleave(copies, dim=0)


@pytest.mark.parametrize(("num_codebooks", "grid"), [(1, (2, 2)), (2, (1, 3)), (1, (2, 1, 2))])
def test_log_prob_is_the_mean_over_orders_and_a_lower_bound(monkeypatch, num_codebooks, grid):
    prior = small(MaskedPrior, num_embeddings=2, num_codebooks=num_codebooks, grid=grid)
    every = every_image(prior)
    subsets = every_subset(math.prod(grid))
    with torch.no_grad():
        by_order = log_probs_by_order(prior, every)
        prior.likelihood_draws = 100
        estimate = prior.log_prob(every)
        prior.likelihood_draws = len(subsets)
        everything = subsets[:, None].expand(-1, len(every), -1)
        monkeypatch.setattr("voxlex.priors.masked.hide_for_likelihood", lambda codes, draws: everything)
        bound = prior.log_prob(every)
    exact = by_order.logsumexp(dim=0) - math.log(len(by_order))
    assert exact.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(bound, by_order.mean(dim=0), rtol=1e-6, atol=1e-6)
    assert (bound < exact).all()
    assert estimate.mean().item() == pytest.approx(bound.mean().item(), rel=0.1)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_drawn_one_at_a_time_in_random_order_samples_follow_the_mixture_over_orders(num_codebooks):
    prior = small(MaskedPrior, num_embeddings=2, num_codebooks=num_codebooks, grid=(2, 2), steps=4)
    prior.confidence_noise = 1e6
    every = every_image(prior)
    with torch.no_grad():
        by_order = log_probs_by_order(prior, every)
    expected = (by_order.logsumexp(dim=0) - math.log(len(by_order))).exp()
    assert_frequencies(prior.sample(5_000, generator=seeded()), every, expected)


def test_the_loss_estimates_the_bound_in_nats_per_code():
    prior = small(MaskedPrior, num_codebooks=2, layers=1)
    codes = random_codes(prior, 300)
    with torch.no_grad():
        expected = -prior.code_log_probs(codes).mean()
        assert prior.loss(codes).item() == prior.loss(codes).item()
        assert prior.loss(codes).item() == pytest.approx(expected.item(), rel=0.1)
        prior.train()
        assert prior.loss(codes).item() != prior.loss(codes).item()
        assert prior.loss(codes).item() == pytest.approx(expected.item(), rel=0.1)


@pytest.mark.parametrize("grid", [(4, 5), (3, 8), (2, 3, 4)])
def test_every_seen_cell_matters_and_no_hidden_one(grid):
    prior = small(MaskedPrior, grid=grid, layers=1)
    codes = random_codes(prior, 1)
    cells = math.prod(grid)
    hidden = (torch.arange(cells) % 3 != 0)[None]
    for cell in range(cells):
        changed = codes.clone()
        changed.view(-1)[cell] = (codes.view(-1)[cell] + 1) % prior.layout.num_embeddings
        moved = (prior(changed, hidden=hidden) != prior(codes, hidden=hidden)).any(dim=1)
        assert moved.all() if not hidden[0, cell] else not moved.any()


@pytest.mark.parametrize("order", ["confidence", "halton"])
@pytest.mark.parametrize("steps", [1, 3, 8, 100])
@pytest.mark.parametrize("grid", [(4, 5), (2, 3, 4), (1, 1)])
def test_sampling_fills_every_cell_in_as_many_steps_as_asked(grid, steps, order):
    prior = small(MaskedPrior, grid=grid, num_codebooks=2, steps=steps, order=order).float()
    cells = math.prod(grid)
    seen = []
    codes = prior.sample(3, generator=seeded(), progress=lambda done, total: seen.append((done, total)))
    assert codes.shape == (3, 2, *grid)
    assert codes.min() >= 0
    assert codes.max() < 5
    assert len(seen) == min(steps, cells)
    assert seen[-1] == (cells, cells)


def test_the_cells_left_hidden_follow_the_cosine_schedule():
    left = left_hidden(1024, 8)
    assert left == [int(1024 * math.cos(math.pi / 2 * step / 8)) for step in range(1, 8)] + [0]
    assert left_hidden(3, 8) == [2, 1, 0]
    for cells, steps in itertools.product(range(1, 30), range(1, 30)):
        counts = [cells, *left_hidden(cells, steps)]
        assert counts[-1] == 0
        assert all(after < before for before, after in itertools.pairwise(counts))


def test_every_number_of_hidden_cells_comes_as_often_as_any_other():
    codes = torch.randint(5, (5_000, 1, 2, 3))
    for hidden in (hide_for_loss(codes, repeatable=False), hide_for_likelihood(codes, 7).flatten(0, 1)):
        sizes = torch.bincount(hidden.sum(dim=1), minlength=7)
        assert sizes[0] == 0
        torch.testing.assert_close(sizes[1:] / len(hidden), torch.full((6,), 1 / 6), rtol=0, atol=0.02)
        torch.testing.assert_close(hidden.double().mean(dim=0).float(), torch.full((6,), 7 / 12), rtol=0, atol=0.05)


@pytest.mark.parametrize("repeatable", [False, True])
def test_the_place_in_a_batch_does_not_decide_how_much_is_hidden(repeatable):
    sizes = [
        hide_for_loss(torch.randint(5, (4, 1, 4, 4)), repeatable=repeatable).sum(dim=1).float() for _ in range(2_000)
    ]
    # The mean of 2 000 draws of 1 to 16 has a standard deviation of 0.1.
    torch.testing.assert_close(torch.stack(sizes).mean(dim=0), torch.full((4,), 8.5), rtol=0, atol=0.5)


def test_cells_are_drawn_a_few_at_a_time_without_a_difference(monkeypatch):
    prior = small(MaskedPrior, num_codebooks=2)
    expected = prior.sample(3, temperature=1e-6, generator=seeded())
    monkeypatch.setattr("voxlex.priors.depth.CHUNK", 7)
    assert torch.equal(prior.sample(3, temperature=1e-6, generator=seeded()), expected)


@pytest.mark.parametrize("order", ["confidence", "halton"])
def test_it_learns_what_the_cells_of_an_image_have_in_common(order):
    # All cells of an image have the same code: 0 or 1 in one class, 2 or 3 in the other.
    layout = CodeLayout(num_embeddings=4, grid=(2, 4))
    prior = MaskedPrior(layout=layout, conditions=LABELLED, width=16, layers=1, heads=2, steps=4, order=order)
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=200)
    for _ in range(200):
        condition = torch.randint(2, (16,))
        codes = (2 * condition + torch.randint(2, (16,)))[:, None, None, None].expand(-1, 1, 2, 4).contiguous()
        optimizer.zero_grad()
        prior.loss(codes, condition.float().unsqueeze(1)).backward()
        optimizer.step()
        schedule.step()
    prior.eval()
    # One bit among the 8 codes of each image is all that is left to learn.
    assert prior.loss(codes, condition.float().unsqueeze(1)).item() < 0.25 * math.log(4)
    samples = prior.sample(100, condition=labels(*["a"] * 50, *["b"] * 50), generator=seeded()).flatten(1)
    assert (samples == samples.mode(dim=1, keepdim=True).values).double().mean() > 0.8
    assert (samples[:50] < 2).double().mean() > 0.75
    assert (samples[50:] >= 2).double().mean() > 0.75
    assert torch.bincount(samples.flatten(), minlength=4).min() > 0.02 * samples.numel()


def test_each_level_of_several_is_a_bound_given_the_coarser():
    prior = Case("masked", levels=2).prior()
    assert prior.exact is False
    coarse, fine = random_codes(prior, 3)
    own = [prior.levels[0].log_prob(coarse), prior.levels[1].log_prob(fine, context=(coarse,))]
    torch.testing.assert_close(prior.log_prob((coarse, fine)), own[0] + own[1])


def test_steps_below_1_are_refused():
    with pytest.raises(ValueError, match=r"^steps: expected at least 1, got 0$"):
        small(MaskedPrior, steps=0)


# The order "halton"


def radical_inverse(number, base):
    """Mirror the digits of a number at the point: 6 = 110 in base 2 becomes 0.011, which is 3/8."""
    mirrored, place = Fraction(0), Fraction(1, base)
    while number:
        number, digit = divmod(number, base)
        mirrored, place = mirrored + digit * place, place / base
    return mirrored


@pytest.mark.parametrize("grid", [(1, 1), (1, 18), (8, 9), (7, 5), (16, 16), (4, 9, 5), (3, 1, 2), (1, 1, 1)])
def test_cells_come_in_the_order_in_which_a_halton_sequence_falls_into_them(grid):
    order = []
    for number in itertools.count():
        point = [radical_inverse(number, base) for base in (2, 3, 5)[: len(grid)]]
        cell = tuple(math.floor(share * side) for share, side in zip(point, grid, strict=True))
        order += [cell] if cell not in order else []
        if len(order) == math.prod(grid):
            break
    ranks = halton_ranks(grid).reshape(grid)
    assert [int(ranks[cell]) for cell in order] == list(range(len(order)))


def test_the_first_cells_lie_in_all_parts_of_the_grid():
    ranks = torch.from_numpy(halton_ranks((32, 32))).view(32, 32)
    for count, side in ((16, 16), (64, 8), (256, 4)):
        chosen = (ranks < count).view(32 // side, side, 32 // side, side).sum(dim=(1, 3))
        assert chosen.min() >= 1
        assert chosen.max() <= 8


def test_steps_draw_as_many_cells_as_the_schedule_says():
    ranks = torch.from_numpy(halton_ranks((5, 7)))
    for steps in (1, 4, 12, 35, 100):
        step_of = steps_of(ranks, steps)
        assert [int((step_of > step).sum()) for step in range(min(steps, 35))] == left_hidden(35, steps)
        assert step_of[ranks.argsort()].diff().min() >= 0


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_step_is_drawn_as_often_as_it_has_cells_at_any_place_in_a_batch(repeatable):
    step_of = steps_of(torch.from_numpy(halton_ranks((4, 4))), 4)
    drawn = torch.stack(
        [step_for_loss(torch.randint(5, (3, 1, 4, 4)), step_of, repeatable=repeatable) for _ in range(3_000)]
    )
    expected = torch.bincount(step_of) / 16
    for place in range(3):
        # A share of 3 000 draws has a standard deviation of at most 0.01.
        torch.testing.assert_close(torch.bincount(drawn[:, place]) / 3_000, expected, rtol=0, atol=0.04)


@pytest.mark.parametrize(("num_codebooks", "steps"), [(1, 4), (2, 3)])
def test_the_loss_has_the_negative_log_likelihood_of_a_code_as_its_expectation(monkeypatch, num_codebooks, steps):
    prior = small(MaskedPrior, num_codebooks=num_codebooks, grid=(3, 4), order="halton", steps=steps)
    codes = random_codes(prior, 5)
    step_of = steps_of(torch.from_numpy(halton_ranks((3, 4))), steps)
    mean = 0.0
    with torch.no_grad():
        assert prior.loss(codes).item() == prior.loss(codes).item()
        for step, cells in enumerate(torch.bincount(step_of).tolist()):
            drawn = torch.full((5,), step)
            monkeypatch.setattr("voxlex.priors.masked.step_for_loss", lambda *_, drawn=drawn, **__: drawn)
            mean += cells / 12 * prior.loss(codes).item()
        assert mean == pytest.approx(-prior.code_log_probs(codes).mean().item(), rel=1e-9)


def test_in_training_the_loss_changes_from_step_to_step():
    prior = small(MaskedPrior, grid=(3, 4), order="halton", steps=4).train()
    codes = random_codes(prior, 5)
    assert len({prior.loss(codes).item() for _ in range(10)}) > 1


@pytest.mark.parametrize("steps", [1, 3, 4, 100])
def test_the_likelihood_is_the_product_over_the_cells_given_those_of_earlier_steps(steps):
    prior = small(MaskedPrior, num_embeddings=3, grid=(2, 2), order="halton", steps=steps)
    every = every_image(prior)
    ranks = torch.from_numpy(halton_ranks((2, 2)))
    left, hidden = left_hidden(4, steps), torch.ones(len(every), 4, dtype=torch.bool)
    total = torch.zeros(len(every), dtype=torch.float64)
    with torch.no_grad():
        for before, after in itertools.pairwise([4, *left]):
            scores = prior(every, hidden=hidden).log_softmax(dim=1).gather(1, every.unsqueeze(1)).flatten(1)
            drawn = (ranks >= 4 - before) & (ranks < 4 - after)
            total += scores[:, drawn].sum(dim=1)
            hidden[:, drawn] = False
        found = prior.log_prob(every)
    torch.testing.assert_close(found, total)
    assert found.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert_frequencies(prior.sample(3_000, generator=seeded()), every, found.exp())


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_a_completion_draws_hidden_cells_in_their_order_with_all_known_ones_in_sight(num_codebooks):
    prior = small(MaskedPrior, grid=(3, 4), num_codebooks=num_codebooks, order="halton", steps=3)
    codes = random_codes(prior, 1)[0]
    hidden = (torch.arange(12) % 3 > 0).view(3, 4)
    ranks = torch.from_numpy(halton_ranks((3, 4)))
    cells = sorted(hidden.flatten().nonzero().flatten().tolist(), key=lambda cell: ranks[cell])
    naive, unknown = codes[None].clone(), hidden.flatten()[None].clone()
    draw = RandomDraw(generator=streams_for(1, seeded(), device=prior.device))
    with torch.no_grad():
        for before, after in itertools.pairwise([8, *left_hidden(8, 3)]):
            step = torch.tensor(cells[8 - before : 8 - after])
            for codebook in range(num_codebooks):
                logits = prior(naive, hidden=unknown)[:, :, codebook].flatten(2)[..., step].transpose(1, 2)
                naive[:, codebook].view(1, -1)[:, step] = draw(logits, codebook=codebook, cells=step[None])
            unknown[:, step] = False
    assert torch.equal(prior.complete(codes, hidden, generator=seeded()), naive)


def test_levels_are_exact_if_all_of_them_are():
    prior = Case("halton", levels=2).prior()
    assert prior.exact is True
    coarse, fine = random_codes(prior, 3)
    own = [prior.levels[0].log_prob(coarse), prior.levels[1].log_prob(fine, context=(coarse,))]
    torch.testing.assert_close(prior.log_prob((coarse, fine)), own[0] + own[1])
