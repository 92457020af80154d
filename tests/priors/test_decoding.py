import itertools

import pytest
import torch

from voxlex.priors.draw import Draw


class Recorder(Draw):
    """Draws as usual and keeps the logits of every cell."""

    def __call__(self, logits):
        self.__dict__.setdefault("seen", []).append(logits)
        return super().__call__(logits)


def sample_naively(prior, n, condition, draw):
    """The definition: run the whole network once for every code, and use one code of its answer."""
    codes = torch.zeros(n, prior.num_codebooks, *prior.grid, dtype=torch.int64)
    for cell in itertools.product(*map(range, prior.grid)):
        for depth in range(prior.num_codebooks):
            codes[:, depth, *cell] = draw(prior(codes, condition)[:, :, depth, *cell])
    return codes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kernel_size": 5, "layers": 3},
        {"grid": (9, 4)},
        {"grid": (1, 7)},
        {"grid": (7, 1)},
        {"grid": (1, 1)},
        {"num_codebooks": 3},
        {"grid": (3, 4, 5)},
        {"grid": (5, 3, 2), "kernel_size": 5, "num_codebooks": 2},
        {"grid": (1, 2, 3)},
        {"grid": (3, 1, 2)},
        {"grid": (2, 3, 1)},
    ],
)
def test_the_cached_logits_are_those_of_forward_at_every_cell(make_pixelcnn, labelled, changes):
    prior = make_pixelcnn(conditions=labelled, **changes)
    condition = labelled.encode({"label": ["a", "b", ""]})
    recorder = Recorder(generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        codes = prior._sample(3, condition, recorder, None)
        cached = torch.stack(recorder.seen, dim=-1).unflatten(-1, (*prior.grid, -1)).movedim(-1, 2)
        torch.testing.assert_close(cached, prior(codes, condition), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("num_codebooks", [1, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("grid", [(5, 6), (3, 2, 4)])
def test_the_naive_sampler_with_the_same_noise_draws_the_same_codes(
    make_pixelcnn, labelled, grid, temperature, num_codebooks
):
    prior = make_pixelcnn(conditions=labelled, grid=grid, num_codebooks=num_codebooks)
    condition = labelled.encode({"label": ["b", "a", "", "b"]})
    draw = Draw(temperature=temperature, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        naive = sample_naively(prior, 4, condition, draw)
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(prior.sample(4, condition=condition, temperature=temperature, generator=generator), naive)


def test_the_same_generator_state_gives_the_same_codes(make_pixelcnn):
    prior = make_pixelcnn().float()
    first, second, other = (prior.sample(3, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("options", [{"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_with_nothing_else_left_each_code_is_the_likeliest(make_pixelcnn, options):
    prior = make_pixelcnn(num_codebooks=2)
    codes = prior.sample(2, **options)
    assert torch.equal(codes, prior(codes).argmax(dim=1))


@pytest.mark.parametrize(("num_codebooks", "grid"), [(1, (2, 2)), (2, (2, 1)), (1, (2, 1, 2)), (2, (2, 1, 1))])
def test_samples_follow_log_prob(make_pixelcnn, every_grid, num_codebooks, grid):
    prior = make_pixelcnn(num_embeddings=3, grid=grid, num_codebooks=num_codebooks)
    every = every_grid(prior)
    expected = prior.log_prob(every).exp()

    n = 40_000
    codes = prior.sample(n, generator=torch.Generator().manual_seed(0)).flatten(1)
    index = (codes * torch.tensor([27, 9, 3, 1])).sum(dim=1)
    counts = torch.bincount(index, minlength=81)

    # Pearson's statistic has mean 80 and standard deviation 12.6 where the samples follow the distribution.
    likely = n * expected > 5
    statistic = ((counts - n * expected) ** 2 / (n * expected))[likely].sum().item()
    assert statistic < likely.sum().item() + 5 * (2 * likely.sum().item()) ** 0.5


def test_autocast_does_not_touch_the_conditionals(make_pixelcnn):
    prior = make_pixelcnn().float()
    plain = prior.sample(4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prior.sample(4, generator=torch.Generator().manual_seed(0)), plain)
