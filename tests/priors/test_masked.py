import itertools
import math

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.unmasking import hide_for_likelihood, hide_for_loss, left_hidden

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


@pytest.mark.parametrize("steps", [1, 3, 8, 100])
@pytest.mark.parametrize("grid", [(4, 5), (2, 3, 4), (1, 1)])
def test_sampling_fills_every_cell_in_as_many_steps_as_asked(grid, steps):
    prior = small(MaskedPrior, grid=grid, num_codebooks=2, steps=steps).float()
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


def test_it_learns_what_the_cells_of_an_image_have_in_common():
    # All cells of an image have the same code: 0 or 1 in one class, 2 or 3 in the other.
    layout = CodeLayout(num_embeddings=4, grid=(2, 4))
    prior = MaskedPrior(layout=layout, conditions=LABELLED, width=16, layers=1, heads=2, steps=4)
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
