"""Cached conditionals on grids of every shape; `test_contract.py` holds those of a few to `log_prob`."""

import pytest
import torch

from voxlex.priors import GatedPixelCNN, TransformerPrior

from .kinds import Replay, random_codes, small

GRIDS = [(9, 4), (1, 7), (7, 1), (1, 1), (3, 4, 5), (1, 2, 3), (3, 1, 2), (2, 3, 1)]


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", [GatedPixelCNN, TransformerPrior])
def test_the_cached_logits_are_those_of_forward_at_every_cell(kind, grid, kernel_size):
    prior = small(kind, grid=grid, kernel_size=kernel_size)
    codes = random_codes(prior, 2)
    replay = Replay(codes)
    prior.draw_with(replay, 2)
    torch.testing.assert_close(replay.logits.view(2, 5, 1, *grid), prior(codes), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", [GatedPixelCNN, TransformerPrior])
def test_the_cached_logits_are_those_of_forward_in_single_precision(kind):
    prior = small(kind, grid=(12, 12), width=32).float()
    codes = random_codes(prior, 2)
    replay = Replay(codes)
    prior.draw_with(replay, 2)
    torch.testing.assert_close(replay.logits.view(2, 5, 1, 12, 12), prior(codes), rtol=1e-4, atol=1e-4)
