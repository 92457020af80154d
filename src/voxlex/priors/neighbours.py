"""What is seen of the codes just before a cell, in space and in raster order."""

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

    It sees the earlier half of a cube around the cell, where the cell above is as near as the one to the left. It also
    sees the `stride` cells just before the cell in raster order, so that the first cell of a row sees the end of the
    row before.

    Args:
        in_channels: Channels of the embedded codes.
        out_channels: Channels out.
        grid: Code grid, two or three axes.
        kernel_size: Side of the cube; odd, at least 3.
        stride: It is computed at every `stride`-th cell of a row; a divisor of the last axis.

    Raises:
        ValueError: If an argument is out of range.
    """

    table: Tensor

    def __init__(
        self, *, in_channels: int, out_channels: int, grid: Sequence[int], kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        if len(grid) not in _CONVOLVE:
            raise ValueError(f"grid: expected two or three axes, got {tuple(grid)}")
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number of at least 3, got {kernel_size}")
        if in_channels < 1:
            raise ValueError(f"in_channels: expected at least 1, got {in_channels}")
        self.kernel = (kernel_size,) * len(grid)
        self.stride = stride
        self.around = math.prod(self.kernel) // 2
        taps = self.around + stride
        bound = (in_channels * taps) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, taps, in_channels).uniform_(-bound, bound))
        self.register_buffer("table", _earlier(tuple(grid), kernel_size, stride), persistent=False)

    def forward(self, embedded: Float[Tensor, "b *grid e"]) -> Float[Tensor, "b s c"]:
        """Return features of every `stride`-th cell, in raster order."""
        around, before = self.weight.tensor_split([self.around], dim=1)
        kernel_size, dims = self.kernel[0], len(self.kernel)
        reach = kernel_size // 2
        # The cells before the centre lie in the planes (in 2D rows) up to its own; the rest of its plane is zero.
        planes = (reach + 1, *self.kernel[1:])
        hidden = math.prod(planes) - self.around
        kernel = functional.pad(around, (0, 0, 0, hidden)).unflatten(1, planes).movedim(-1, 1)
        padded = functional.pad(embedded, (0, 0, *(reach, reach) * (dims - 1), reach, 0)).movedim(-1, 1)
        steps = (1,) * (dims - 1) + (self.stride,)
        seen = _CONVOLVE[dims](padded, kernel, stride=steps)
        earlier = functional.pad(embedded.flatten(1, -2)[:, : -self.stride], (0, 0, self.stride, 0))
        earlier = earlier.unflatten(1, (-1, self.stride)).flatten(2)
        return seen.flatten(2).transpose(1, 2) + functional.linear(earlier, before.flatten(1))

    def at(self, embedded: Float[Tensor, "n t e"], place: int | Int64[Tensor, "1"]) -> Float[Tensor, "n c"]:
        """Return what `forward` gives at `place`; `embedded` are all cells in raster order, then one of zeros."""
        return functional.linear(embedded[:, self.table[place]].flatten(1), self.weight.flatten(1))


def _earlier(grid: tuple[int, ...], kernel_size: int, stride: int) -> Int64[Tensor, "s m"]:
    """Raster index of all that is seen from every `stride`-th cell; beyond the grid, the number of cells."""
    cells = math.prod(grid)
    reach = range(-(kernel_size // 2), kernel_size // 2 + 1)
    offsets = torch.tensor(list(itertools.product(reach, repeat=len(grid)))[: kernel_size ** len(grid) // 2])
    raster = torch.arange(cells)[::stride]
    around = torch.stack(torch.unravel_index(raster, grid), dim=1)[:, None] + offsets
    inside = ((around >= 0) & (around < torch.tensor(grid))).all(dim=2)
    steps = torch.tensor([math.prod(grid[axis + 1 :]) for axis in range(len(grid))])
    before = raster[:, None] + torch.arange(-stride, 0)
    return torch.cat([(around * steps).sum(dim=2).where(inside, cells), before.where(before >= 0, cells)], dim=1)
