"""The gated layer of PixelCNN: a stack that sees the rows above and one that sees the cells to the left."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Features = Float[Tensor, "b c h w"]


class VerticalConv(nn.Conv2d):
    """Convolution that sees whole rows: the current one and those above it.

    The kernel is the upper half of a square one: the other half, which a mask would only silence, is not computed.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Side of the square kernel of which this is the upper half; odd.
        strict: See only the rows above (mask A of the paper), not the current one too (mask B).
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, strict: bool = False) -> None:
        self.rows = kernel_size // 2 + (not strict)
        super().__init__(in_channels, out_channels, (self.rows, kernel_size))
        self.side = kernel_size // 2
        self.strict = strict

    def forward(self, x: Features) -> Float[Tensor, "b o h w"]:
        """Features of the same grid."""
        if self.strict:
            return super().forward(functional.pad(x[:, :, :-1], (self.side, self.side, self.rows, 0)))
        return super().forward(functional.pad(x, (self.side, self.side, self.rows - 1, 0)))


class HorizontalConv(nn.Conv2d):
    """Convolution along a row that sees the current cell and those to its left; arguments as in `VerticalConv`."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, strict: bool = False) -> None:
        self.cells = kernel_size // 2 + (not strict)
        super().__init__(in_channels, out_channels, (1, self.cells))
        self.strict = strict

    def forward(self, x: Features) -> Float[Tensor, "b o h w"]:
        """Features of the same grid."""
        if self.strict:
            return super().forward(functional.pad(x[..., :-1], (self.cells, 0)))
        return super().forward(functional.pad(x, (self.cells - 1, 0)))


def gate(x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c//2 *grid"]:
    """The gated activation tanh(x₁) · σ(x₂) of the two halves of the channels (1606.05328, eq. 2)."""
    value, opening = x.chunk(2, dim=1)
    return torch.tanh(value) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """One layer of the two stacks (van den Oord et al., 1606.05328, figure 2) with a skip connection to the output.

    The vertical stack feeds the horizontal one, never the reverse: that is what removes the blind spot.

    Args:
        width: Channels of each stack, and size of the vector that stands for an image's conditions.
        kernel_size: Side of the square kernel of which each stack sees its part; odd.
        dropout: Share of the gated horizontal features that is zeroed in training.
    """

    def __init__(self, *, width: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.vertical = VerticalConv(width, 2 * width, kernel_size=kernel_size)
        self.horizontal = HorizontalConv(width, 2 * width, kernel_size=kernel_size)
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv2d(width, 2 * width, 1)
        self.condition_bias = nn.Linear(width, 4 * width)
        nn.init.zeros_(self.condition_bias.weight)
        nn.init.zeros_(self.condition_bias.bias)

    def forward(
        self, vertical: Features, horizontal: Features, given: Float[Tensor, "b c"]
    ) -> tuple[Features, Features, Features]:
        """The two stacks one layer on, and what goes straight to the output; `given` are embedded conditions."""
        above = self.vertical(vertical)
        condition_bias = self.condition_bias(given)[:, :, None, None].type_as(above)
        vertical_bias, horizontal_bias = condition_bias.chunk(2, dim=1)
        left = self.horizontal(horizontal) + self.down(above) + horizontal_bias
        residual, skip = self.out(self.dropout(gate(left))).chunk(2, dim=1)
        return gate(above + vertical_bias), horizontal + residual, skip
