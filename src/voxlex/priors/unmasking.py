"""Which cells of a code grid are hidden, in training, for a likelihood, and step after step in sampling."""

import math
import zlib

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
    part = (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n
    # Rounding may make one of a part just below one.
    sizes = 1 + (part * cells).long().clamp(max=cells - 1)
    ranks = torch.rand(n, cells, generator=generator, device=device).argsort(dim=1).argsort(dim=1)
    return ranks < sizes.unsqueeze(1)
