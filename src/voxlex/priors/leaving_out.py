"""Hide a few cells at a time, so that each is seen from all sides once; and draw anew only what is unlikely."""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from voxlex.priors.draw import Cells, Draw, log_probs_of
from voxlex.types import Codes


def blocks_left_out(grid: Sequence[int], side: int) -> Iterator[Bool[Tensor, "t"]]:
    """Yield masks of cells, in raster order, that together hide each cell once.

    Each mask hides blocks of `side` cells along each axis, every second along each axis. So there are 4 masks in two
    dimensions and 8 in three, whatever the size of the grid, and between two blocks of a mask all cells are seen.

    Args:
        grid: Cells along each axis.
        side: Cells along each axis of a block.

    Raises:
        ValueError: If the side is below 1.
    """
    if side < 1:
        raise ValueError(f"side: expected at least 1, got {side}")
    places = torch.stack(torch.meshgrid(*[torch.arange(cells) // side % 2 for cells in grid], indexing="ij"))
    number = (places.flatten(1) * 2 ** torch.arange(len(grid)).view(-1, 1)).sum(dim=0)
    for mask in range(2 ** len(grid)):
        if (number == mask).any():
            yield number == mask


class RestoringDraw(Draw):
    """Keeps the likely codes of images, and lets an inner draw choose anew those that are less likely than a threshold.

    With an autoregressive prior, each code is judged with the codes before it as they are after the restoration.

    Args:
        inner: Chooses the unlikely codes.
        known: Codes of the images.
        threshold: Probability, in (0, 1], below which a code is chosen anew; 1 chooses all.

    Raises:
        ValueError: If the threshold is out of range.
    """

    def __init__(self, inner: Draw, *, known: Codes, threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: expected a probability in (0, 1], got {threshold}")
        self.inner = inner
        self.known = known.flatten(2)
        self.least = math.log(threshold)

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return one code for each row of logits."""
        own = self.known[:, codebook]
        known = own[:, cells].view(logits.shape[:-1]) if isinstance(cells, int) else own.gather(1, cells)
        likely = log_probs_of(logits, known) >= self.least
        if likely.all():
            return known
        return torch.where(likely, known, self.inner(logits, codebook=codebook, cells=cells))
