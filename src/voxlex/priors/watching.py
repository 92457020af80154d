"""What can be seen of images while a prior draws them."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from voxlex.codes import CodeLayout
from voxlex.progress import Progress
from voxlex.types import Levels

WatchLevel = Callable[[Int64[Tensor, "n q *grid"], Bool[Tensor, "n *grid"]], None]
"""Called with the codes of a level so far, and which cells are drawn; the codes of the others mean nothing.

The tensors are those that the prior works on: whoever keeps them makes a copy, and nobody changes them.
"""

Known = tuple[Bool[Tensor, "..."], ...]
"""Which cells of each level are drawn, `(n, *grid)`."""

Watch = Callable[[Levels, Known], None]
"""Called with the same for every level that has begun, coarsest first."""


def watch_level(watch: Watch | None, before: Levels, n: int) -> WatchLevel | None:
    """Return what watches a level, with the first `n` images of it and of all levels before it."""
    if watch is None:
        return None

    def seen(codes: Int64[Tensor, "m q *grid"], known: Bool[Tensor, "m *grid"]) -> None:
        masks = [torch.ones_like(level[:n, 0], dtype=torch.bool) for level in before]
        watch((*(level[:n] for level in before), codes[:n]), (*masks, known[:n]))

    return seen


def first_cells(layout: CodeLayout, n: int, count: int) -> Bool[Tensor, "n *grid"]:
    """Return which cells are drawn when these are the first `count` in raster order."""
    return (torch.arange(layout.cells) < count).view(1, *layout.grid).expand(n, *layout.grid)


def part_of_levels(progress: Progress | None, layouts: Sequence[CodeLayout], place: int) -> Progress | None:
    """Turn the progress of one level into that of all."""
    cells = [layout.cells for layout in layouts]
    if progress is None or len(cells) == 1:
        return progress
    before, own = sum(cells[:place]), cells[place]
    return lambda done, total: progress(before + own * done // total, sum(cells))
