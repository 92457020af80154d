import pytest
import torch

from voxlex.errors import CodesError
from voxlex.priors import GatedPixelCNN, MaskedPrior, TransformerPrior

from .small import small


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grid", [(5, 6), (2, 4, 5)])
def test_known_codes_stay_and_hidden_ones_vary(grid, make_pixelcnn, random_codes):
    prior = make_pixelcnn(num_codebooks=2, grid=grid)
    codes = random_codes(prior, 1)[0]
    hidden = torch.zeros(prior.grid, dtype=torch.bool)
    hidden[..., 2:4, 1:5] = True
    drawn = prior.complete(codes, hidden, n=20, temperature=2.0, generator=seeded())
    assert torch.equal(drawn[..., ~hidden], codes[..., ~hidden].expand(20, -1, -1))
    assert (drawn[..., hidden].double().std(dim=0) > 0).all()
    assert torch.equal(prior.complete(codes, hidden, n=20, temperature=2.0, generator=seeded()), drawn)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_draws_follow_the_posterior(make_pixelcnn, every_grid, num_codebooks):
    # A cell at the top left is hidden, so that all that is known comes after it.
    prior = make_pixelcnn(num_embeddings=3, grid=(2, 2), num_codebooks=num_codebooks)
    codes = torch.ones(num_codebooks, 2, 2, dtype=torch.int64)
    hidden = torch.tensor([[True, False], [False, False]])
    grids = every_grid(prior)
    fitting = grids[(grids[..., ~hidden] == 1).flatten(1).all(dim=1)]
    posterior = prior.log_prob(fitting).detach().softmax(dim=0)
    drawn = prior.complete(codes, hidden, n=4000, candidates=30, generator=seeded())
    found = torch.stack([(drawn == grid).flatten(1).all(dim=1).double().mean() for grid in fitting])
    prior_alone = prior.complete(codes, hidden, n=4000, candidates=1, generator=seeded())
    blind = torch.stack([(prior_alone == grid).flatten(1).all(dim=1).double().mean() for grid in fitting])
    assert (found - posterior).abs().max() < 0.04
    assert (found - posterior).abs().sum() < (blind - posterior).abs().sum()


def test_with_all_hidden_it_is_sampling(make_pixelcnn, random_codes):
    prior = make_pixelcnn()
    everything = torch.ones(prior.grid, dtype=torch.bool)
    drawn = prior.complete(random_codes(prior, 1)[0], everything, n=3, candidates=1, generator=seeded())
    assert torch.equal(drawn, prior.sample(3, generator=seeded()))


def test_refuses_what_does_not_fit(make_pixelcnn, random_codes):
    prior = make_pixelcnn()
    codes, hidden = random_codes(prior, 1)[0], torch.ones(prior.grid, dtype=torch.bool)
    with pytest.raises(ValueError, match="hides a cell"):
        prior.complete(codes, ~hidden)
    with pytest.raises(CodesError):
        prior.complete(codes + 5, hidden)
    with pytest.raises(ValueError, match="candidates"):
        prior.complete(codes, hidden, candidates=0)


@pytest.mark.parametrize("grid", [(4, 6), (3, 4, 5)])
@pytest.mark.parametrize("kind", [MaskedPrior, TransformerPrior])
def test_other_priors_complete_too(
    kind: type[MaskedPrior | TransformerPrior], grid: tuple[int, ...], random_codes
) -> None:
    prior = kind(num_embeddings=5, grid=grid, num_codebooks=2, width=8, layers=1, heads=2, kernel_size=3)
    codes = random_codes(prior, 1)[0]
    hidden = torch.zeros(prior.grid, dtype=torch.bool)
    hidden[..., 1:3, 1:4] = True
    drawn = prior.complete(codes, hidden, n=20, generator=seeded())
    assert torch.equal(drawn[..., ~hidden], codes[..., ~hidden].expand(20, -1, -1))
    assert (drawn[..., hidden].double().std(dim=0) > 0).all()
    assert torch.equal(prior.complete(codes, hidden, n=20, generator=seeded()), drawn)


@pytest.mark.parametrize("kind", [GatedPixelCNN, MaskedPrior, TransformerPrior])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_a_mask_of_numbers_hides_where_it_is_not_0(kind, dtype, random_codes):
    prior = kind(num_embeddings=5, grid=(4, 6), width=8, layers=1)
    codes, hidden = random_codes(prior, 1)[0], torch.zeros(prior.grid, dtype=torch.bool)
    hidden[1:3, 1:4] = True
    expected = prior.complete(codes, hidden, n=3, generator=seeded())
    assert torch.equal(prior.complete(codes, 255 * hidden.to(dtype), n=3, generator=seeded()), expected)


def test_in_three_dimensions_draws_follow_the_posterior(every_grid):
    prior = small(TransformerPrior, num_embeddings=3, grid=(2, 2, 1))
    codes = torch.ones(1, 2, 2, 1, dtype=torch.int64)
    hidden = torch.tensor([[[True], [False]], [[False], [True]]])
    grids = every_grid(prior)
    fitting = grids[(grids[..., ~hidden] == 1).flatten(1).all(dim=1)]
    posterior = prior.log_prob(fitting).detach().softmax(dim=0)
    drawn = prior.complete(codes, hidden, n=4000, candidates=30, generator=seeded())
    found = torch.stack([(drawn == grid).flatten(1).all(dim=1).double().mean() for grid in fitting])
    assert (found - posterior).abs().max() < 0.04
