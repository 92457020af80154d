"""What a cell sees of the codes just before it, in space as well as in raster order."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}


class EarlierNeighbours(nn.Module):
    """Linear map of the embedded codes around a cell that come before it in raster order.

    In a sequence of cells the one above lies a whole row back; this puts it, and all others of a cube around the cell
    that are known, next to it. The cell just before it in raster order is added, lest the end of one row be out of
    sight at the start of the next.

    Args:
        in_channels: Channels of the embedded codes.
        out_channels: Channels out.
        grid: Code grid, two or three axes.
        kernel_size: Side of the cube; odd.
    """

    table: Tensor

    def __init__(self, *, in_channels: int, out_channels: int, grid: Sequence[int], kernel_size: int) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.kernel_size = kernel_size
        self.near = kernel_size ** len(self.grid) // 2
        bound = (in_channels * (self.near + 1)) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, self.near + 1).uniform_(-bound, bound))
        self.register_buffer("table", earlier_neighbours(self.grid, kernel_size), persistent=False)

    def forward(self, embedded: Float[Tensor, "b *grid e"]) -> Float[Tensor, "b t c"]:
        """Features of all cells in raster order."""
        axes = len(self.grid)
        # The cells that come before the centre are the first half of the kernel; the rest of it is zero.
        kernel = functional.pad(self.weight[..., :-1], (0, self.near + 1)).unflatten(2, (self.kernel_size,) * axes)
        around = _CONVOLVE[axes](embedded.movedim(-1, 1), kernel, padding=self.kernel_size // 2)
        before = functional.pad(embedded.flatten(1, -2)[:, :-1], (0, 0, 1, 0))
        return around.flatten(2).transpose(1, 2) + functional.linear(before, self.weight[..., -1])

    def at(self, embedded: Float[Tensor, "n s e"], cell: int) -> Float[Tensor, "n c"]:
        """Features of one cell; `embedded` are all cells in raster order, and zeros in one cell after the last."""
        seen = embedded[:, self.table[cell]].transpose(1, 2)
        return functional.linear(seen.flatten(1), self.weight.flatten(1))


def earlier_neighbours(grid: Sequence[int], kernel_size: int) -> Int64[Tensor, "t m"]:
    """Raster index of each earlier neighbour of each cell, then of the cell before it; beyond the grid, their number."""
    cells = math.prod(grid)
    places = torch.cartesian_prod(*[torch.arange(side) for side in grid])
    reach = range(-(kernel_size // 2), kernel_size // 2 + 1)
    offsets = list(itertools.product(reach, repeat=len(grid)))
    offsets = torch.tensor(offsets[: len(offsets) // 2])
    near = places[:, None] + offsets
    sides = torch.tensor(tuple(grid))
    strides = torch.tensor([math.prod(grid[axis + 1 :]) for axis in range(len(grid))])
    inside = ((near >= 0) & (near < sides)).all(dim=2)
    indices = (near * strides).sum(dim=2).where(inside, cells)
    before = torch.arange(cells) - 1
    return torch.cat([indices, before.where(before >= 0, cells)[:, None]], dim=1)
