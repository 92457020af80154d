import math
from collections.abc import Callable

import pandas as pd
import pytest
import torch

from voxlex.priors import Conditions, GatedPixelCNN


@pytest.fixture
def labelled() -> Conditions:
    """One categorical column of three values."""
    return Conditions.of(pd.DataFrame({"label": ["a", "b", "c"]}), ["label"])


@pytest.fixture
def make_pixelcnn() -> Callable[..., GatedPixelCNN]:
    """Small float64 priors, far enough from their initial state that every weight and bias matters."""

    def make(**changes: object) -> GatedPixelCNN:
        options = {"num_embeddings": 5, "grid": (5, 6), "width": 6, "layers": 2, "kernel_size": 3, "embedding_dim": 3}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            prior = GatedPixelCNN(**(options | changes)).double().eval()
            with torch.no_grad():
                for parameter in prior.parameters():
                    parameter += 0.3 * torch.randn_like(parameter)
        return prior

    return make


@pytest.fixture
def random_codes() -> Callable[..., torch.Tensor]:
    def make(prior: GatedPixelCNN, n: int, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(prior.num_embeddings, (n, prior.num_codebooks, *prior.grid), generator=generator)

    return make


@pytest.fixture
def every_grid() -> Callable[[GatedPixelCNN], torch.Tensor]:
    """All the code grids that there are, for a small prior."""

    def make(prior: GatedPixelCNN) -> torch.Tensor:
        shape = (prior.num_codebooks, *prior.grid)
        return torch.cartesian_prod(*[torch.arange(prior.num_embeddings)] * math.prod(shape)).unflatten(-1, shape)

    return make
