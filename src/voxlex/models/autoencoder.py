"""The default encoder and decoder: patches to channels, then residual blocks on the code grid, where work is cheap."""

import torch
from torch import Tensor, nn

from voxlex.nn.blocks import convolution, depth_to_space, space_to_depth
from voxlex.types import Image, Latents


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), 3×3 both; the last convolution starts at zero, so a deep stack starts as identity."""

    def __init__(self, *, spatial_dims: int, width: int) -> None:
        super().__init__()
        self.first = convolution(spatial_dims, width, width, 3)
        self.second = convolution(spatial_dims, width, width, 3)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class PatchEncoder(nn.Module):
    """Folds each patch into channels, then convolves on the code grid.

    Args:
        in_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of a patch.
        width: Channels on the code grid.
        blocks: Residual blocks.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embedding_dim: int = 8,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 128,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.stem = convolution(spatial_dims, in_channels * downsampling**spatial_dims, width, 3)
        self.blocks = nn.Sequential(*[ResidualBlock(spatial_dims=spatial_dims, width=width) for _ in range(blocks)])
        self.head = convolution(spatial_dims, width, embedding_dim, 1)

    def forward(self, x: Image) -> Latents:
        """Return the latents of images."""
        return self.head(torch.relu(self.blocks(self.stem(space_to_depth(x, self.downsampling)))))


class PatchDecoder(nn.Module):
    """Convolves on the code grid, then unfolds channels into patches.

    Args:
        out_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of a patch.
        width: Channels on the code grid.
        blocks: Residual blocks.
    """

    def __init__(
        self,
        *,
        out_channels: int = 1,
        embedding_dim: int = 8,
        spatial_dims: int = 2,
        downsampling: int = 4,
        width: int = 128,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.stem = convolution(spatial_dims, embedding_dim, width, 3)
        self.blocks = nn.Sequential(*[ResidualBlock(spatial_dims=spatial_dims, width=width) for _ in range(blocks)])
        self.head = convolution(spatial_dims, width, out_channels * downsampling**spatial_dims, 3)

    def forward(self, z_q: Latents) -> Image:
        """Return the images that latents stand for."""
        return depth_to_space(self.head(torch.relu(self.blocks(self.stem(z_q)))), self.downsampling)
