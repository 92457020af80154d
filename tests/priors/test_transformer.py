import math

import pytest
import torch

from voxlex.errors import CodesError
from voxlex.priors.draw import Draw
from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.priors.transformer import TransformerPrior

from .small import LABELLED, assert_frequencies, labels, seeded, small

GRIDS = [(4, 5), (1, 7), (7, 1), (1, 1), (2, 3, 4)]


class Recorder(Draw):
    """Draws as usual and keeps the logits of every cell."""

    def __call__(self, logits):
        self.__dict__.setdefault("seen", []).append(logits)
        return super().__call__(logits)


@pytest.mark.parametrize(
    ("grid", "kernel_size"), [((4, 5), 3), ((3, 6), 5), ((3, 8), 7), ((2, 3, 4), 3), ((2, 2, 4), 7)]
)
def test_a_cell_depends_on_every_earlier_cell_and_on_no_other(random_codes, grid, kernel_size):
    prior = small(TransformerPrior, grid=grid, layers=1, kernel_size=kernel_size)
    codes = random_codes(prior, 1)
    cells = math.prod(grid)
    for cell in range(cells):
        changed = codes.clone()
        changed.view(-1)[cell] = (codes.view(-1)[cell] + 1) % prior.num_embeddings
        moved = (prior(changed) != prior(codes)).any(dim=1).flatten()
        assert moved.tolist() == [other > cell for other in range(cells)]


def test_a_code_depends_on_the_earlier_codes_of_its_cell_and_on_no_other_of_it(random_codes):
    prior = small(TransformerPrior, num_codebooks=3)
    codes = random_codes(prior, 1)
    for depth in range(3):
        changed = codes.clone()
        changed[0, depth, 2, 3] = (changed[0, depth, 2, 3] + 1) % prior.num_embeddings
        moved = (prior(changed) != prior(codes))[0].any(dim=0)
        assert moved[:, 2, 3].tolist() == [other > depth for other in range(3)]
        assert moved[:, 2, 4].all()
        assert not moved[:, :2].any()


def test_the_neighbours_of_a_cell_are_those_around_it_that_come_before():
    neighbours = EarlierNeighbours(in_channels=1, out_channels=1, grid=(3, 4), kernel_size=3)
    outside = 12
    assert neighbours.table[6].tolist() == [1, 2, 3, 5, 5]
    assert neighbours.table[4].tolist() == [outside, 0, 1, outside, 3]
    assert neighbours.table[0].tolist() == [outside] * 5
    neighbours = EarlierNeighbours(in_channels=1, out_channels=1, grid=(2, 2, 4), kernel_size=3, stride=2)
    assert len(neighbours.table) == 8
    assert neighbours.table[5].tolist() == [outside + 4] * 3 + [1, 2, 3, 5, 6, 7] + [outside + 4] * 3 + [9, 8, 9]


@pytest.mark.parametrize(("num_codebooks", "grid"), [(1, (2, 3)), (2, (3, 1)), (3, (1, 2)), (1, (2, 1, 2))])
def test_probabilities_of_all_grids_sum_to_one(every_grid, num_codebooks, grid):
    prior = small(TransformerPrior, num_embeddings=3, grid=grid, num_codebooks=num_codebooks, conditions=LABELLED)
    every = every_grid(prior)
    for condition in (None, labels(*["a"] * len(every))):
        assert prior.log_prob(every, condition).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_scores_are_those_of_the_logits(random_codes, num_codebooks):
    prior = small(TransformerPrior, conditions=LABELLED, num_codebooks=num_codebooks)
    codes, condition = random_codes(prior, 3), labels("a", "b", "")
    expected = prior(codes, condition).log_softmax(dim=1).gather(1, codes.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(prior.code_log_probs(codes, condition), expected)
    torch.testing.assert_close(prior.loss(codes, condition), -expected.mean())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("num_codebooks", [1, 3])
def test_the_cached_logits_are_those_of_forward_at_every_cell(grid, num_codebooks):
    prior = small(TransformerPrior, grid=grid, num_codebooks=num_codebooks, conditions=LABELLED, kernel_size=5)
    condition = labels("a", "b", "")
    recorder = Recorder(generator=seeded(1))
    with torch.inference_mode():
        codes = prior._sample(3, condition, recorder, None)
        cached = torch.stack(recorder.seen, dim=-1).unflatten(-1, (*grid, -1)).movedim(-1, 2)
        torch.testing.assert_close(cached, prior(codes, condition), rtol=1e-10, atol=1e-10)


def test_the_cached_logits_are_those_of_forward_in_single_precision():
    prior = small(TransformerPrior, grid=(12, 12), width=32, kernel_size=5).float()
    recorder = Recorder(generator=seeded())
    with torch.inference_mode():
        codes = prior._sample(2, None, recorder, None)
        torch.testing.assert_close(
            torch.stack(recorder.seen, dim=-1).view(2, 5, 1, 12, 12), prior(codes), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("num_codebooks", "grid"), [(1, (4, 5)), (2, (4, 5)), (1, (2, 3, 2))])
def test_the_naive_sampler_with_the_same_noise_draws_the_same_codes(num_codebooks, grid):
    prior = small(TransformerPrior, conditions=LABELLED, num_codebooks=num_codebooks, grid=grid)
    condition = labels("b", "a", "", "b")
    draw = Draw(temperature=0.7, generator=seeded(7))
    naive = torch.zeros(4, num_codebooks, *grid, dtype=torch.int64)
    with torch.inference_mode():
        for cell in range(math.prod(grid)):
            for depth in range(num_codebooks):
                logits = prior(naive, condition)[:, :, depth].flatten(2)[:, :, cell]
                naive[:, depth].view(4, -1)[:, cell] = draw(logits)
    assert torch.equal(prior.sample(4, condition=condition, temperature=0.7, generator=seeded(7)), naive)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_samples_follow_log_prob(every_grid, num_codebooks):
    prior = small(TransformerPrior, num_embeddings=3, grid=(2, 2 // num_codebooks), num_codebooks=num_codebooks)
    every = every_grid(prior)
    assert_frequencies(prior.sample(40_000, generator=seeded()), every, prior.log_prob(every).exp())


def test_the_same_generator_state_gives_the_same_codes():
    prior = small(TransformerPrior).float()
    first, second, other = (prior.sample(3, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_images_of_a_batch_do_not_see_each_other(random_codes):
    prior = small(TransformerPrior, conditions=LABELLED)
    codes, condition = random_codes(prior, 3), labels("a", "b", "")
    alone = torch.cat([prior.log_prob(codes[i : i + 1], condition[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(prior.log_prob(codes, condition), alone)


def test_it_learns_the_pattern_of_each_class():
    # Rows of one class repeat along the row, those of the other down the columns; each code alone is uniform.
    prior = TransformerPrior(
        num_embeddings=8, grid=(6, 6), conditions=LABELLED, width=32, layers=1, heads=2, kernel_size=3
    )
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(160):
        condition = torch.randint(2, (16,))
        line = torch.randint(8, (16, 6))
        along, down = line[:, :, None].expand(-1, -1, 6), line[:, None, :].expand(-1, 6, -1)
        codes = torch.where(condition[:, None, None] == 0, along, down).unsqueeze(1)
        optimizer.zero_grad()
        loss = prior.loss(codes, condition.float().unsqueeze(1))
        loss.backward()
        optimizer.step()
    # Six free codes among the 36 of each image: 0.35 nats per code is all that is left to learn.
    assert loss.item() < 0.3 * math.log(8)
    samples = prior.sample(8, condition=labels(*["a"] * 4, *["b"] * 4), generator=seeded())
    along, down = (samples.diff(dim=axis).eq(0).double().mean(dim=(1, 2, 3)) for axis in (3, 2))
    assert (along[:4] > 0.8).all()
    assert (down[4:] > 0.8).all()


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_it_starts_from_the_marginals_and_the_codebook(random_codes, num_codebooks):
    prior = TransformerPrior(num_embeddings=8, grid=(6, 6), num_codebooks=num_codebooks, width=16, heads=2)
    codes = random_codes(prior, 50)
    codes[:, 0].clamp_(max=3)
    codebook = torch.randn(num_codebooks, 8, 4)
    codebook[:, 1] = codebook[:, 0] + 0.01
    prior.start(codes, codebook)
    nats = -prior.code_log_probs(codes).mean(dim=(0, 2, 3))
    for depth, chosen in enumerate(codes.unbind(dim=1)):
        frequencies = torch.bincount(chosen.flatten(), minlength=8) / chosen.numel()
        assert nats[depth].item() == pytest.approx(torch.special.entr(frequencies).sum().item(), rel=0.25)
    distances = torch.cdist(prior.embedding.weight, prior.embedding.weight)
    assert (distances[:, 0, 1] < 0.25 * distances[:, 0, 2:].amin(dim=1)).all()
    with pytest.raises(ValueError, match=rf"codebook \(q, k, d\) = \({num_codebooks}, 8, d\), got"):
        prior.start(codes, codebook[:, :7])


def test_guidance_goes_beyond_the_condition():
    prior = small(TransformerPrior, conditions=LABELLED)
    condition = labels(*["a"] * 100)
    plain, guided = (prior.sample(100, condition=condition, guidance=g, generator=seeded()) for g in (1.0, 3.0))
    typical = [(prior.log_prob(codes, condition) - prior.log_prob(codes)).mean() for codes in (plain, guided)]
    assert typical[1] > typical[0]


def test_weights_travel_by_state_dict(random_codes):
    prior = small(TransformerPrior, conditions=LABELLED)
    other = small(TransformerPrior, conditions=LABELLED)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(prior.state_dict())
    codes = random_codes(prior, 2)
    assert torch.equal(other.log_prob(codes), prior.log_prob(codes))
    assert torch.equal(other.sample(2, generator=seeded()), prior.sample(2, generator=seeded()))


def test_dropout_acts_in_training_only(random_codes):
    prior = small(TransformerPrior, dropout=0.5)
    codes = random_codes(prior, 1)
    assert prior.loss(codes).item() == prior.loss(codes).item()
    prior.train()
    assert prior.loss(codes).item() != prior.loss(codes).item()


def test_progress_counts_the_cells():
    seen = []
    small(TransformerPrior).sample(1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 20), (10, 20), (15, 20), (20, 20)]


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": (4,)},
        {"grid": (2, 2, 2, 2)},
        {"kernel_size": 4},
        {"kernel_size": 1},
        {"width": 0},
        {"width": 9},
        {"heads": 0},
        {"layers": 0},
        {"embedding_dim": 0},
    ],
)
def test_options_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match="not"):
        small(TransformerPrior, **changes)


def test_codes_of_another_grid_are_refused():
    with pytest.raises(CodesError, match=r"1, 4, 5.*got"):
        small(TransformerPrior).loss(torch.zeros(1, 1, 5, 4, dtype=torch.int64))
