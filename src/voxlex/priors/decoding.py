"""Ancestral sampling of the PixelCNN with cached activations: each is computed once, by the very weights of `forward`.

The vertical stack depends on whole rows, so it advances once a row; the horizontal stack advances once a cell. Each
convolution remembers as much of its input as its kernel spans and is a small matrix product.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.priors.gated import GatedLayer, HorizontalConv, VerticalConv, gate
from voxlex.priors.stacks import GatedStacks

Row = Float[Tensor, "n c w"]
Cell = Float[Tensor, "n c"]


class RowCache:
    """A vertical convolution fed one row at a time, from the top."""

    def __init__(self, conv: VerticalConv, n: int, width: int) -> None:
        self.conv = conv
        self.seen = conv.weight.new_zeros(n, conv.in_channels, conv.rows, width)

    def push(self, row: Float[Tensor, "n i w"]) -> Row:
        """The convolution's output for the newest row it may see."""
        self.seen = torch.cat([self.seen[:, :, 1:], row.unsqueeze(2)], dim=2)
        padding = (0, self.conv.side)
        return functional.conv2d(self.seen, self.conv.weight, self.conv.bias, padding=padding).squeeze(2)


class CellCache:
    """A horizontal convolution fed one cell at a time, from the left of each row."""

    def __init__(self, conv: HorizontalConv, n: int, width: int) -> None:
        self.cells = conv.cells
        # The kernel as one matrix, its columns in the order in which the cache lays out cells and channels.
        self.weight = conv.weight.squeeze(2).transpose(1, 2).flatten(1)
        self.bias = conv.bias
        self.seen = conv.weight.new_zeros(n, self.cells - 1 + width, conv.in_channels)

    def push(self, cell: Float[Tensor, "n i"], j: int) -> Cell:
        """The convolution's output once cell `j` of the row is the newest it may see."""
        self.seen[:, self.cells - 1 + j] = cell
        return functional.linear(self.seen[:, j : j + self.cells].flatten(1), self.weight, self.bias)


class LayerCache:
    """A gated layer whose vertical half advances by rows and whose horizontal half advances by cells.

    Attributes:
        from_above: What the vertical stack gives to each cell of the row, set by `push_row`.
    """

    from_above: Float[Tensor, "w n c"]

    def __init__(self, layer: GatedLayer, n: int, width: int, given: Float[Tensor, "n c"]) -> None:
        self.layer = layer
        self.vertical = RowCache(layer.vertical, n, width)
        self.horizontal = CellCache(layer.horizontal, n, width)
        self.vertical_bias, self.horizontal_bias = layer.condition_bias(given).unsqueeze(2).chunk(2, dim=1)

    def push_row(self, vertical: Row) -> Row:
        """The vertical stack one layer on; what it gives to each cell of the horizontal stack is kept."""
        above = self.vertical.push(vertical)
        down = functional.conv1d(above, self.layer.down.weight.squeeze(3), self.layer.down.bias)
        self.from_above = (down + self.horizontal_bias).permute(2, 0, 1).contiguous()
        return gate(above + self.vertical_bias)

    def push_cell(self, horizontal: Cell, j: int) -> tuple[Cell, Cell]:
        """The horizontal stack one layer on at cell `j`, and what goes straight to the output."""
        opened = gate(self.horizontal.push(horizontal, j) + self.from_above[j])
        out = functional.linear(opened, self.layer.out.weight.flatten(1), self.layer.out.bias)
        residual, skip = out.chunk(2, dim=1)
        return horizontal + residual, skip


class StacksCache:
    """`GatedStacks` for `n` images that are drawn in raster order: `push_row`, `push_cell` along it, and so on.

    Args:
        stacks: The stacks; dropout is not applied.
        width: Cells in a row of the code grid.
        given: Embedded condition of each image.

    Attributes:
        from_above: What the vertical stack gives to each cell of the row, set by `push_row`.
    """

    from_above: Float[Tensor, "w n c"]

    def __init__(self, stacks: GatedStacks, width: int, given: Float[Tensor, "n c"]) -> None:
        n = len(given)
        self.stacks = stacks
        self.vertical = RowCache(stacks.vertical, n, width)
        self.horizontal = CellCache(stacks.horizontal, n, width)
        self.layers = [LayerCache(cast(GatedLayer, layer), n, width, given) for layer in stacks.layers]

    def push_row(self, above: Float[Tensor, "n e w"], i: int) -> None:
        """Advance the vertical stack to row `i`, given the embedded codes of the row above it."""
        vertical = self.vertical.push(above) + self.stacks.vertical_position[:, i]
        down = functional.conv1d(vertical, self.stacks.down.weight.squeeze(3), self.stacks.down.bias)
        self.from_above = (down + self.stacks.horizontal_position[:, i]).permute(2, 0, 1).contiguous()
        for layer in self.layers:
            vertical = layer.push_row(vertical)

    def push_cell(self, left: Float[Tensor, "n e"], j: int) -> Cell:
        """What the stacks know of cell `j`, given the embedded code of the cell to its left."""
        horizontal = self.horizontal.push(left, j) + self.from_above[j]
        to_output = horizontal
        for layer in self.layers:
            horizontal, skip = layer.push_cell(horizontal, j)
            to_output = to_output + skip
        return to_output
