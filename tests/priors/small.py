"""Small priors of any kind, and every code grid that a tiny one knows."""

import pandas as pd
import torch

from voxlex.priors import Conditions

LABELLED = Conditions.of(pd.DataFrame({"label": ["a", "b"]}), ["label"])


def labels(*wanted):
    """The condition of images with labels "a" and "b", or any, "", of priors that are `LABELLED`."""
    return LABELLED.encode({"label": wanted})


def small(kind, **changes):
    """A float64 prior far enough from its initial state that every weight and bias matters."""
    options = {"num_embeddings": 5, "grid": (4, 5), "width": 8, "layers": 2, "heads": 2, "kernel_size": 3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = kind(**(options | changes)).double().eval()
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return prior


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_frequencies(codes, every, expected):
    """Assert by Pearson's statistic that samples follow the probabilities `expected` of every grid."""
    powers = (every.max() + 1) ** torch.arange(every[0].numel())
    keys, order = (every.flatten(1) * powers).sum(dim=1).sort()
    index = torch.searchsorted(keys, (codes.flatten(1) * powers).sum(dim=1))
    counts, expected = torch.bincount(index, minlength=len(every)), len(codes) * expected[order]
    # Where they do, it has as its mean the number of grids and as its variance twice that.
    likely = expected > 5
    statistic = ((counts - expected) ** 2 / expected)[likely].sum().item()
    freedom = likely.sum().item()
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5
