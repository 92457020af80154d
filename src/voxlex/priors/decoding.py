"""Ancestral sampling of the PixelCNN with cached activations: each is computed once, by the very weights of `forward`.

The stack of an axis depends on whole slabs along that axis, so it advances by one slab at a time. In a volume the first
stack advances once a plane, the second once a row, and the last once a cell. The place of a slab is its index along
the axis of its stack, after the indices along the axes before. Each convolution keeps as much of its input as its
kernel spans.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from voxlex.priors.gated import CausalConv, CellsGiven, GatedLayer, GatedStacks, Pointwise, StackConvs, gate

Slab = Float[Tensor, "n c *slab"]
Cell = Float[Tensor, "n c"]
Place = tuple[int, ...]

_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def slab_at(x: Shaped[Tensor, "n c *grid"], place: Place) -> Shaped[Tensor, "n c *slab"]:
    """Return a view of the slab that lies at `place`: of a volume, a plane, a row or a cell."""
    for index in place:
        x = x[:, :, index]
    return x


class SlabCache:
    """The causal convolution of an axis but the last, fed one slab at a time."""

    def __init__(self, causal: CausalConv, n: int, slab: Sequence[int]) -> None:
        self.weight = causal.conv.weight.flatten(2, 2 + causal.axis)
        self.bias = causal.conv.bias
        self.padding = (0, *[causal.side] * len(slab))
        self.convolve = _CONVOLVE[1 + len(slab)]
        self.seen = self.weight.new_zeros(n, causal.conv.in_channels, causal.slabs, *slab)

    def push(self, slab: Float[Tensor, "n i *slab"], index: int) -> Slab:
        """Return the convolution's output when the slab at `index` along the axis is the newest it may see."""
        if index == 0:
            self.seen = torch.zeros_like(self.seen)
        self.seen = torch.cat([self.seen[:, :, 1:], slab.unsqueeze(2)], dim=2)
        return self.convolve(self.seen, self.weight, self.bias, padding=self.padding).squeeze(2)


class CellCache:
    """The causal convolution of the last axis, fed one cell at a time: a small matrix product."""

    def __init__(self, causal: CausalConv, n: int, row: int) -> None:
        self.cells = causal.slabs
        # The kernel as one matrix, its columns in the order in which the cache lays out cells and channels.
        self.weight = causal.conv.weight.flatten(2).transpose(1, 2).flatten(1)
        self.bias = causal.conv.bias
        self.seen = self.weight.new_zeros(n, self.cells - 1 + row, causal.conv.in_channels)

    def push(self, cell: Float[Tensor, "n i"], index: int) -> Cell:
        """Return the convolution's output when the cell at `index` of its row is the newest it may see."""
        self.seen[:, self.cells - 1 + index] = cell
        return functional.linear(self.seen[:, index : index + self.cells].flatten(1), self.weight, self.bias)


class StackConvsCache:
    """`StackConvs` whose stacks each advance by slabs of their own.

    Args:
        convs: The convolutions.
        biases: What is added to each stack.
        n: Number of images.
        grid: Code grid.

    Attributes:
        fed: For each stack down to the next to advance, what is added at each index along its axis: the bias, and
            what the stack before it gives.
    """

    def __init__(
        self, convs: StackConvs, biases: Sequence[Float[Tensor, "m c *grid"]], n: int, grid: Sequence[int]
    ) -> None:
        causal = [cast(CausalConv, conv) for conv in convs.convs]
        slabs = [SlabCache(conv, n, grid[axis + 1 :]) for axis, conv in enumerate(causal[:-1])]
        self.caches: list[SlabCache | CellCache] = [*slabs, CellCache(causal[-1], n, grid[-1])]
        self.feeds = [cast(Pointwise, feed) for feed in convs.feeds]
        self.biases = biases
        self.fed = [biases[0].movedim(2, 0)]

    def push(self, slab: Float[Tensor, "n i *slab"], place: Place) -> Slab:
        """What the stack sees once the slab at `place` is the newest it may see; the next stack is fed with it."""
        axis = len(place) - 1
        seen = self.caches[axis].push(slab, place[-1]) + self.fed[axis][place[-1]]
        if axis < len(self.feeds):
            feed = self.feeds[axis]
            given = functional.conv1d(seen.flatten(2), feed.weight.flatten(2), feed.bias).view_as(seen)
            self.fed[axis + 1 :] = [(given + slab_at(self.biases[axis + 1], place)).movedim(2, 0).contiguous()]
        return seen


class LayerCache:
    """A gated layer whose stacks each advance by slabs of their own."""

    def __init__(self, layer: GatedLayer, n: int, grid: Sequence[int], given: CellsGiven) -> None:
        biases = [bias.expand(-1, -1, *grid) for bias in layer.biases(given)]
        self.stacks = StackConvsCache(layer.stacks, biases, n, grid)
        self.out = layer.out

    def push_slab(self, slab: Slab, place: Place) -> Slab:
        """A stack but the last one layer on at the slab at `place`."""
        return gate(self.stacks.push(slab, place))

    def push_cell(self, cell: Cell, place: Place) -> tuple[Cell, Cell]:
        """The last stack one layer on at the cell at `place`, and what goes straight to the output."""
        opened = gate(self.stacks.push(cell, place))
        residual, skip = functional.linear(opened, self.out.weight.flatten(1), self.out.bias).chunk(2, dim=1)
        return cell + residual, skip


class StacksCache:
    """`GatedStacks` for images that are drawn in raster order: `push_slab` where a slab begins, then `push_cell`.

    Args:
        stacks: The stacks; dropout is not applied.
        given: What is given for each cell.
    """

    def __init__(self, stacks: GatedStacks, given: CellsGiven) -> None:
        n, grid = len(given), stacks.grid
        self.first = StackConvsCache(stacks.first, [position.unsqueeze(0) for position in stacks.positions], n, grid)
        self.layers = [LayerCache(cast(GatedLayer, layer), n, grid, given) for layer in stacks.layers]

    def push_slab(self, before: Float[Tensor, "n e *slab"], place: Place) -> None:
        """Advance a stack but the last to the slab at `place`, given the embedded codes of the slab before it."""
        slab = self.first.push(before, place)
        for layer in self.layers:
            slab = layer.push_slab(slab, place)

    def push_cell(self, left: Float[Tensor, "n e"], place: Place) -> Cell:
        """What the stacks know of the cell at `place`, given the embedded code of the cell to its left."""
        cell = to_output = self.first.push(left, place)
        for layer in self.layers:
            cell, skip = layer.push_cell(cell, place)
            to_output = to_output + skip
        return to_output
