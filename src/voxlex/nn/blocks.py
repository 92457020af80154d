"""Convolutional building blocks for two or three spatial dimensions."""

from torch import Tensor, nn

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def convolution(
    spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution that divides the grid by `stride`. Stride 1 needs an odd kernel, stride 2 an even one."""
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"spatial_dims: expected 2 or 3, got {spatial_dims}")
    padding = (kernel_size - stride + 1) // 2
    return CONVOLUTIONS[spatial_dims](
        in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups
    )


def doubling_convolution(
    spatial_dims: int, in_channels: int, out_channels: int
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Return a transposed convolution (kernel 4, stride 2) that doubles the grid."""
    return TRANSPOSED[spatial_dims](in_channels, out_channels, kernel_size=4, stride=2, padding=1)


def halvings(downsampling: int, *, name: str = "downsampling") -> int:
    """Return how many halvings divide the side of a grid by `downsampling`.

    Raises:
        ValueError: If `downsampling`, which the message calls `name`, is not a power of two above 1.
    """
    if downsampling < 2 or downsampling & (downsampling - 1):
        raise ValueError(f"{name}: expected 2, 4, 8 or another power of two, got {downsampling}")
    return downsampling.bit_length() - 1


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """Fold patches with sides of `factor` cells into channels.

    This turns `(b, c, *space)` into `(b, c·factor^n, *space/factor)`.
    """
    b, c, *space = x.shape
    n = len(space)
    split = [part for side in space for part in (side // factor, factor)]
    grid_axes = range(2, 2 + 2 * n, 2)
    patch_axes = range(3, 3 + 2 * n, 2)
    folded = x.reshape(b, c, *split).permute(0, 1, *patch_axes, *grid_axes)
    return folded.reshape(b, c * factor**n, *[side // factor for side in space])


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """Undo `space_to_depth` (the sub-pixel step of Shi et al., 1609.05158)."""
    b, c, *grid = x.shape
    n = len(grid)
    unfolded = x.reshape(b, c // factor**n, *[factor] * n, *grid)
    interleaved = [axis for i in range(n) for axis in (2 + n + i, 2 + i)]
    return unfolded.permute(0, 1, *interleaved).reshape(b, c // factor**n, *[side * factor for side in grid])
