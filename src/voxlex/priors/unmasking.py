"""Which cells of a code grid are hidden, in training, for a likelihood, and step after step in sampling."""

import functools
import math
import zlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from voxlex.priors.draw import Cells, Draw
from voxlex.types import Codes

Hidden = Bool[Tensor, "b t"]
"""The cells of each image, in raster order, whose codes are not seen."""


def hide_for_loss(codes: Codes, *, repeatable: bool) -> Hidden:
    """Hide 1 to all cells of each image of a batch, each number as often as any other.

    Args:
        codes: Codes of the batch.
        repeatable: Use the codes as the seed, in place of torch's own generator.
    """
    n, cells = len(codes), math.prod(codes.shape[2:])
    generator, device = (_seeded(codes), torch.device("cpu")) if repeatable else (None, codes.device)
    hidden = _hide(n, cells, generator, device)
    # The sizes rise from row to row, and the place of an image in its batch may not decide how much of it is hidden.
    return hidden[torch.randperm(n, generator=generator, device=device)].to(codes.device)


def step_for_loss(codes: Codes, step_of: Int64[Tensor, "t"], *, repeatable: bool) -> Int64[Tensor, "b"]:
    """Draw a step for each image of a batch, each step as often as it has cells.

    So the mean over the cells of that step has the mean over all cells as its expectation.

    Args:
        codes: Codes of the batch.
        step_of: The step in which each cell is drawn.
        repeatable: Use the codes as the seed, in place of torch's own generator.
    """
    n, cells = len(codes), len(step_of)
    generator, device = (_seeded(codes), torch.device("cpu")) if repeatable else (None, codes.device)
    places = _spread(n, cells, generator, device)[torch.randperm(n, generator=generator, device=device)]
    return step_of.sort().values[places.to(codes.device)]


def hide_for_likelihood(codes: Codes, draws: int) -> Bool[Tensor, "s b t"]:
    """Hide 1 to all cells of each image `draws` times, each number as often as any other.

    The codes of an image are the seed of its draws, so that its likelihood is the same in any batch.
    """
    cells = math.prod(codes.shape[2:])
    return torch.stack([_hide(draws, cells, _seeded(image)) for image in codes], dim=1).to(codes.device)


def left_hidden(cells: int, steps: int) -> list[int]:
    """Return how many cells are hidden after each step: cells · cos(π/2 · s/S), and fewer each time."""
    steps = min(steps, cells)
    left = [cells]
    for step in range(1, steps + 1):
        scheduled = int(cells * math.cos(math.pi / 2 * step / steps))
        left.append(min(max(scheduled, steps - step), left[-1] - 1))
    return left[1:]


def steps_of(ranks: Int64[Tensor, "t"], steps: int) -> Int64[Tensor, "t"]:
    """Return the step, from 0, in which each cell is drawn, by its rank in the order of all cells."""
    drawn = [len(ranks) - left for left in left_hidden(len(ranks), steps)]
    return torch.bucketize(ranks, torch.tensor(drawn, device=ranks.device), right=True)


@functools.lru_cache(maxsize=16)
def halton_ranks(grid: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """Return the rank of each cell of a grid, in raster order, in an order that spreads the cells evenly.

    The cells come in the order in which a Halton sequence, with bases 2, 3 and 5 for the axes, falls into them for the
    first time (Halton-MaskGIT, Besnier et al., 2503.17076).

    Args:
        grid: One to three axes.
    """
    from scipy.stats.qmc import Halton

    cells, sequence = math.prod(grid), Halton(len(grid), scramble=False)
    ranks: dict[int, int] = {}
    while len(ranks) < cells:
        # A point that lies on the border of a cell, as many do, may be rounded to below it.
        places = (sequence.random(cells) * grid + 1e-9).astype(np.int64)
        for cell in np.ravel_multi_index(tuple(places.T), grid).tolist():
            ranks.setdefault(cell, len(ranks))
    return np.array([ranks[cell] for cell in range(cells)], dtype=np.int64)


class ScoredDraw(Draw):
    """Lets an inner draw choose the codes of some cells, one codebook after the other, and notes its confidence."""

    def __init__(self, inner: Draw) -> None:
        self.inner = inner
        self._noted: list[Tensor] = []

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return one code for each row of logits."""
        codes = self.inner(logits, codebook=codebook, cells=cells)
        self._noted.append(self.inner.confidence(logits, codes))
        return codes

    def confidence_in(self, cells: int) -> Float[Tensor, "n m"]:
        """Return the log-probability, in nats, of the codes of all codebooks together, for each of so many cells."""
        return torch.cat(self._noted, dim=1).unflatten(1, (-1, cells)).sum(dim=1)


def _seeded(codes: Tensor) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(codes.cpu().numpy().tobytes()))


def _hide(n: int, cells: int, generator: torch.Generator | None = None, device: torch.device | None = None) -> Hidden:
    """Random subsets of the cells; their sizes are drawn from `n` equal parts of 1 to `cells`, one from each."""
    sizes = 1 + _spread(n, cells, generator, device)
    ranks = torch.rand(n, cells, generator=generator, device=device).argsort(dim=1).argsort(dim=1)
    return ranks < sizes.unsqueeze(1)


def _spread(n: int, cells: int, generator: torch.Generator | None, device: torch.device | None) -> Int64[Tensor, "n"]:
    """Draw a number in [0, cells) from each of `n` equal parts of this range, in rising order."""
    part = (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n
    # Rounding may make one of a part just below one.
    return (part * cells).long().clamp(max=cells - 1)
