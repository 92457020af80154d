"""The gated layer of PixelCNN in two or three dimensions: a stack for each axis, and none of them looks ahead."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Features = Float[Tensor, "b c *grid"]

CellsGiven = Float[Tensor, "b *cells c"]
"""What is given for each cell besides the cells before it; axes of size 1 where it is the same for all cells."""

Pointwise = nn.Conv2d | nn.Conv3d

_CONVOLUTIONS: dict[int, Callable[..., Pointwise]] = {2: nn.Conv2d, 3: nn.Conv3d}


class CausalConv(nn.Module):
    """Convolution that looks back along one axis, both ways along the later ones, and not at all along the earlier.

    In an image, the convolution of axis 0 sees whole rows, the current one and those above it. That of axis 1 sees the
    current cell and the cells to its left. The kernel is only the half of a cube that is seen; the other half, which a
    mask would set to zero, is not computed.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        spatial_dims: Axes of the grid, 2 or 3.
        axis: The axis along which it looks back.
        kernel_size: Side of the cube of which the kernel is a half; odd.
        strict: See only what comes before (mask A of the paper), not the current slab too (mask B).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int,
        axis: int,
        kernel_size: int,
        strict: bool = False,
    ) -> None:
        super().__init__()
        later = spatial_dims - axis - 1
        self.axis = axis
        self.strict = strict
        self.side = kernel_size // 2
        self.slabs = self.side + (not strict)
        kernel = (1,) * axis + (self.slabs,) + (kernel_size,) * later
        self.conv = _CONVOLUTIONS[spatial_dims](in_channels, out_channels, kernel)
        # From the last axis to the first, as `pad` takes them.
        self.padding = (self.side, self.side) * later + (self.side, 0)

    def forward(self, x: Features) -> Float[Tensor, "b o *grid"]:
        """Return features of the same grid."""
        if self.strict:
            x = x.narrow(2 + self.axis, 0, x.shape[2 + self.axis] - 1)
        convolved: Tensor = self.conv(functional.pad(x, self.padding))
        return convolved


class StackConvs(nn.Module):
    """The convolutions of all stacks: one for each axis, and each but the first is fed by the one before.

    The stack of the first axis sees whole slabs: the rows of an image, the planes of a volume. The next stack sees the
    slabs within such a slab, and what the stack before feeds to it. Together they see every earlier cell within reach.

    Args:
        in_channels: Channels in of each stack.
        out_channels: Channels out of each stack.
        spatial_dims: Axes of the grid, 2 or 3.
        kernel_size: Side of the cube of which each stack sees its part; odd.
        strict: See only what comes before.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_dims: int, kernel_size: int, strict: bool = False
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            CausalConv(
                in_channels,
                out_channels,
                spatial_dims=spatial_dims,
                axis=axis,
                kernel_size=kernel_size,
                strict=strict,
            )
            for axis in range(spatial_dims)
        )
        self.feeds = nn.ModuleList(
            _CONVOLUTIONS[spatial_dims](out_channels, out_channels, 1) for _ in range(spatial_dims - 1)
        )

    def forward(
        self, stacks: Sequence[Features], biases: Sequence[Float[Tensor, "..."]]
    ) -> list[Float[Tensor, "b o *grid"]]:
        """Return what each stack sees; a bias, broadcast to it, is added to each."""
        # Under autocast a float32 bias would make float32 of all that follows.
        seen = [conv(stack) for conv, stack in zip(self.convs, stacks, strict=True)]
        seen = [features + bias.type_as(features) for features, bias in zip(seen, biases, strict=True)]
        for axis, feed in enumerate(self.feeds):
            seen[axis + 1] = seen[axis + 1] + feed(seen[axis])
        return seen


def gate(x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c//2 *grid"]:
    """The gated activation tanh(x₁) · σ(x₂) of the two halves of the channels (1606.05328, eq. 2)."""
    value, opening = x.chunk(2, dim=1)
    return torch.tanh(value) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """One layer of the stacks (van den Oord et al., 1606.05328, figure 2) with a skip connection to the output.

    Each stack feeds the next and never the one before, which is what removes the blind spot.

    Args:
        width: Channels of each stack, and of what is given for each cell.
        spatial_dims: Axes of the grid, and number of stacks; 2 or 3.
        kernel_size: Side of the cube of which each stack sees its part; odd.
        dropout: Share of the last stack's gated features that is zeroed in training.
    """

    def __init__(self, *, width: int, spatial_dims: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.stacks = StackConvs(width, 2 * width, spatial_dims=spatial_dims, kernel_size=kernel_size)
        self.dropout = nn.Dropout(dropout)
        self.out = _CONVOLUTIONS[spatial_dims](width, 2 * width, 1)
        self.condition_bias = nn.Linear(width, spatial_dims * 2 * width)
        nn.init.zeros_(self.condition_bias.weight)
        nn.init.zeros_(self.condition_bias.bias)

    def biases(self, given: CellsGiven) -> list[Float[Tensor, "b o *cells"]]:
        """Return what is added to each stack for what is given (1606.05328, eq. 4)."""
        bias: Tensor = self.condition_bias(given)
        return list(bias.movedim(-1, 1).chunk(self.spatial_dims, dim=1))

    def forward(self, stacks: Sequence[Features], given: CellsGiven) -> tuple[list[Features], Features]:
        """Return the stacks one layer on, and what goes straight to the output."""
        *earlier, last = self.stacks(stacks, self.biases(given))
        residual, skip = self.out(self.dropout(gate(last))).chunk(2, dim=1)
        return [*map(gate, earlier), stacks[-1] + residual], skip


class GatedStacks(nn.Module):
    """One stack for each axis, from strict first convolutions to the sum of all skip connections.

    Args:
        in_channels: Channels of the embedded codes.
        grid: Code grid, (h, w) or (d, h, w); each position has learned features of its own.
        width: Channels of each stack, and of what is given for each cell.
        layers: Gated layers after the first convolutions.
        kernel_size: Side of the layers' kernels; odd.
        first_kernel_size: Side of the first convolutions' kernels; odd.
        dropout: Share of each layer's gated features zeroed in training, in [0, 1).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        grid: Sequence[int],
        width: int,
        layers: int,
        kernel_size: int,
        first_kernel_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        dims = len(grid)
        self.grid = tuple(grid)
        self.first = StackConvs(in_channels, width, spatial_dims=dims, kernel_size=first_kernel_size, strict=True)
        self.positions = nn.ParameterList(torch.zeros(width, *grid) for _ in grid)
        self.layers = nn.ModuleList(
            GatedLayer(width=width, spatial_dims=dims, kernel_size=kernel_size, dropout=dropout) for _ in range(layers)
        )

    def forward(self, embedded: Float[Tensor, "b e *grid"], given: CellsGiven) -> Features:
        """Return features of each cell that depend on the cells before it alone, and on what is given."""
        stacks: list[Tensor] = self.first([embedded] * len(self.grid), list(self.positions))
        to_output = stacks[-1]
        for layer in self.layers:
            stacks, skip = layer(stacks, given)
            to_output = to_output + skip
        return to_output
