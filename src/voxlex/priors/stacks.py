"""The two stacks of a gated PixelCNN: from embedded codes to what is known of each cell before its code is."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.priors.gated import Features, GatedLayer, HorizontalConv, VerticalConv


class GatedStacks(nn.Module):
    """Vertical and horizontal stack, from a strict first convolution to the sum of all skip connections.

    Args:
        in_channels: Channels of the embedded codes.
        grid: Code grid (h, w); each position has learned features of its own.
        width: Channels of each stack, and size of the vector that stands for an image's conditions.
        layers: Gated layers after the first convolution.
        kernel_size: Side of the layers' kernels; odd.
        first_kernel_size: Side of the first convolution's kernel; odd.
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
        self.vertical = VerticalConv(in_channels, width, kernel_size=first_kernel_size, strict=True)
        self.horizontal = HorizontalConv(in_channels, width, kernel_size=first_kernel_size, strict=True)
        self.down = nn.Conv2d(width, width, 1)
        self.vertical_position = nn.Parameter(torch.zeros(width, *grid))
        self.horizontal_position = nn.Parameter(torch.zeros(width, *grid))
        self.layers = nn.ModuleList(
            GatedLayer(width=width, kernel_size=kernel_size, dropout=dropout) for _ in range(layers)
        )

    def forward(self, embedded: Float[Tensor, "b e h w"], given: Float[Tensor, "b c"]) -> Features:
        """Features of each cell that depend on the cells before it alone, and on the images' embedded conditions."""
        vertical = self.vertical(embedded)
        # Under autocast a float32 bias would make float32 of all that follows.
        vertical = vertical + self.vertical_position.type_as(vertical)
        horizontal = self.horizontal(embedded) + self.down(vertical)
        horizontal = horizontal + self.horizontal_position.type_as(horizontal)
        to_output = horizontal
        for layer in self.layers:
            vertical, horizontal, skip = layer(vertical, horizontal, given)
            to_output = to_output + skip
        return to_output
