"""The default encoder and decoder: linear convolutions, which learn coarse structure fast, and residual blocks."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from voxlex.nn.blocks import convolution, depth_to_space, halvings, space_to_depth
from voxlex.types import Image, Latents


class ResidualBlock(nn.Module):
    """x + conv₁ₓ₁(relu(conv₁ₓ₁(depthwise₃ₓ₃(x)))), a block of ConvNeXt (2201.03545) without its normalisation.

    The 1×1 convolutions, which are matrix products, do most of the work. The last one starts at zero. So a new block is
    the identity, and a deep stack does not need normalisation.
    """

    def __init__(self, *, spatial_dims: int, width: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = convolution(spatial_dims, width, width, 3, groups=width)
        self.expand = convolution(spatial_dims, width, width * expansion, 1)
        self.project = convolution(spatial_dims, width * expansion, width, 1)
        nn.init.zeros_(self.project.weight)
        if self.project.bias is not None:
            nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return x + self.project(torch.relu(self.expand(self.depthwise(x))))


class Encoder(nn.Module):
    """Folds 2×2 patches into channels, halves the grid with strided convolutions, and applies residual blocks.

    Args:
        in_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the patch that one latent vector represents; a power of two.
        width: Channels on the code grid.
        stem_width: Channels at half the resolution of the image. They double with each further halving.
        blocks: Residual blocks on the code grid.
        expansion: Channels inside a block, in multiples of `width`.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embedding_dim: int = 8,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 128,
        stem_width: int = 32,
        blocks: int = 2,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.reach = blocks + 1  # cells around its own that a latent depends on; the trunk adds one
        widths = level_widths(downsampling, width=width, stem_width=stem_width)
        self.stem = convolution(spatial_dims, in_channels * 2**spatial_dims, widths[0], 3)
        self.halvings = nn.Sequential(*[convolution(spatial_dims, *pair, 4, stride=2) for pair in pairwise(widths)])
        self.blocks = nn.Sequential(
            *[ResidualBlock(spatial_dims=spatial_dims, width=width, expansion=expansion) for _ in range(blocks)]
        )
        self.head = convolution(spatial_dims, width, embedding_dim, 1)

    def forward(self, x: Image) -> Latents:
        """Return the latents of images."""
        return self.head(self.blocks(self.halvings(self.stem(space_to_depth(x, 2)))))


class Decoder(nn.Module):
    """Applies residual blocks on the code grid, then unfolds channels into patches (sub-pixel convolution, 1609.05158).

    Args:
        out_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the patch that one latent vector represents; a power of two.
        width: Channels on the code grid.
        stem_width: Channels at half the resolution of the image.
        blocks: Residual blocks on the code grid.
        expansion: Channels inside a block, in multiples of `width`.
    """

    def __init__(
        self,
        *,
        out_channels: int = 1,
        embedding_dim: int = 8,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 128,
        stem_width: int = 32,
        blocks: int = 4,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.reach = blocks + 2  # a patch depends on this many cells around its own; one each because of stem and head
        widths = level_widths(downsampling, width=width, stem_width=stem_width)[::-1]
        self.stem = convolution(spatial_dims, embedding_dim, width, 3)
        self.blocks = nn.Sequential(
            *[ResidualBlock(spatial_dims=spatial_dims, width=width, expansion=expansion) for _ in range(blocks)]
        )
        self.doublings = nn.ModuleList(
            convolution(spatial_dims, before, after * 2**spatial_dims, 1) for before, after in pairwise(widths)
        )
        self.head = convolution(spatial_dims, widths[-1], out_channels * 2**spatial_dims, 3)

    def forward(self, z_q: Latents) -> Image:
        """Decode latents to images."""
        x = self.blocks(self.stem(z_q))
        for doubling in self.doublings:
            x = depth_to_space(doubling(x), 2)
        return depth_to_space(self.head(x), 2)


def level_widths(downsampling: int, *, width: int, stem_width: int) -> list[int]:
    """Return the channels at 1/2, 1/4, … of the image's resolution, down to `width` on the code grid.

    Raises:
        ValueError: If `downsampling` is not a power of two above 1.
    """
    levels = halvings(downsampling)
    return [*[min(stem_width * 2**level, width) for level in range(levels - 1)], width]
