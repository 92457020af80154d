"""The network of the VQ-VAE paper (van den Oord et al., 1711.00937, section 4.1)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from voxlex.nn.blocks import convolution, doubling_convolution, halvings
from voxlex.types import Image, Latents


class PaperResidualBlock(nn.Module):
    """x + conv₁ₓ₁(relu(conv₃ₓ₃(relu(x)))), as in the paper."""

    def __init__(self, *, spatial_dims: int, width: int, hidden: int) -> None:
        super().__init__()
        self.gather = convolution(spatial_dims, width, hidden, 3)
        self.mix = convolution(spatial_dims, hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return x + self.mix(torch.relu(self.gather(torch.relu(x))))


class PaperEncoder(nn.Sequential):
    """Strided 4×4 convolutions, residual blocks, and a projection to code vectors. The defaults are those of the paper.

    Args:
        in_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of a patch, a power of two; one strided convolution halves the grid.
        width: Channels.
        blocks: Residual blocks.
        block_width: Channels inside a block.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embedding_dim: int = 64,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 256,
        blocks: int = 2,
        block_width: int = 256,
    ) -> None:
        widths = [in_channels, *[width] * halvings(downsampling)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [convolution(spatial_dims, before, after, 4, stride=2), nn.ReLU()]
        layers += [
            PaperResidualBlock(spatial_dims=spatial_dims, width=width, hidden=block_width) for _ in range(blocks)
        ]
        super().__init__(*layers, nn.ReLU(), convolution(spatial_dims, width, embedding_dim, 1))
        self.reach = blocks + 1  # cells around its own that a latent depends on; strided convolutions add one

    def forward(self, x: Image) -> Latents:
        """Return the latents of images."""
        return super().forward(x)


class PaperDecoder(nn.Sequential):
    """The mirror of the encoder: a 3×3 convolution, residual blocks, and transposed 4×4 convolutions.

    Args:
        out_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of a patch, a power of two; one transposed convolution doubles the grid.
        width: Channels.
        blocks: Residual blocks.
        block_width: Channels inside a block.
    """

    def __init__(
        self,
        *,
        out_channels: int = 1,
        embedding_dim: int = 64,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 256,
        blocks: int = 2,
        block_width: int = 256,
    ) -> None:
        widths = [*[width] * halvings(downsampling), out_channels]
        layers: list[nn.Module] = [convolution(spatial_dims, embedding_dim, width, 3)]
        layers += [
            PaperResidualBlock(spatial_dims=spatial_dims, width=width, hidden=block_width) for _ in range(blocks)
        ]
        for before, after in pairwise(widths):
            layers += [nn.ReLU(), doubling_convolution(spatial_dims, before, after)]
        super().__init__(*layers)
        self.reach = blocks + 3  # cells around its own that a patch depends on; transposed convolutions add two

    def forward(self, z_q: Latents) -> Image:
        """Decode latents to images."""
        return super().forward(z_q)
