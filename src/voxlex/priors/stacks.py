"""The stacks of a gated PixelCNN: from embedded codes to what is known of each cell before its code is."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.priors.gated import Features, GatedLayer, StackConvs


class GatedStacks(nn.Module):
    """One stack for each axis, from strict first convolutions to the sum of all skip connections.

    Args:
        in_channels: Channels of the embedded codes.
        grid: Code grid, (h, w) or (d, h, w); each position has learned features of its own.
        width: Channels of each stack, and size of the vector that stands for an image's conditions.
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

    def forward(self, embedded: Float[Tensor, "b e *grid"], given: Float[Tensor, "b c"]) -> Features:
        """Features of each cell that depend on the cells before it alone, and on the images' embedded conditions."""
        stacks: list[Tensor] = self.first([embedded] * len(self.grid), list(self.positions))
        to_output = stacks[-1]
        for layer in self.layers:
            stacks, skip = layer(stacks, given)
            to_output = to_output + skip
        return to_output
