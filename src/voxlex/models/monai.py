"""The network of MONAI's `VQVAE` (Tudosiu et al., 2209.03177), so that runs converted from it load without MONAI.

Blocks have the numbers that MONAI gives them, which `monai_checkpoint` relies on.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from voxlex.nn.blocks import CONVOLUTIONS, TRANSPOSED, halvings
from voxlex.types import Image, Latents

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}
"""Activations without weights, which a checkpoint does not tell."""


class MonaiResidualUnit(nn.Module):
    """relu(x + conv₃ₓ₃(activation(conv₃ₓ₃(x))))."""

    def __init__(self, *, spatial_dims: int, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.conv1 = CONVOLUTIONS[spatial_dims](width, hidden, 3, padding=1)
        self.conv2 = CONVOLUTIONS[spatial_dims](hidden, width, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return torch.relu(x + self.conv2(self.activation(self.conv1(x))))


class MonaiEncoder(nn.Sequential):
    """Levels of a strided convolution and residual units, and a projection to code vectors.

    Args:
        in_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the patch that one latent vector represents: the product of all strides.
        width: Channels on the code grid, the last of `channels`.
        channels: Channels of each level.
        unit_widths: Channels inside the residual units of each level.
        units: Residual units of each level.
        convolutions: Stride, side of the kernel, dilation and padding of the convolution of each level.
        activation: One of `ACTIVATIONS`.

    Raises:
        ValueError: If the numbers of levels differ, a convolution does not divide the grid by its stride, or
            `downsampling` is not a power of two.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embedding_dim: int = 64,
        spatial_dims: int = 2,
        downsampling: int = 8,
        width: int = 192,
        channels: Sequence[int] = (96, 96, 192),
        unit_widths: Sequence[int] = (96, 96, 192),
        units: int = 3,
        convolutions: Sequence[Sequence[int]] = ((2, 4, 1, 1), (2, 4, 1, 1), (2, 4, 1, 1)),
        activation: str = "relu",
    ) -> None:
        _check(channels, unit_widths, convolutions, downsampling=downsampling, width=width)
        blocks: list[nn.Module] = []
        before = in_channels
        for after, hidden, (stride, kernel, dilation, padding) in zip(channels, unit_widths, convolutions, strict=True):
            if not 0 < dilation * (kernel - 1) + 1 - 2 * padding <= stride:
                raise ValueError(
                    f"convolutions: expected a convolution that divides the grid by its stride, got stride {stride}, "
                    f"kernel {kernel}, dilation {dilation}, padding {padding}"
                )
            conv = CONVOLUTIONS[spatial_dims](before, after, kernel, stride, padding, dilation)
            blocks.append(_block(conv, activation))
            blocks += [
                MonaiResidualUnit(spatial_dims=spatial_dims, width=after, hidden=hidden, activation=activation)
                for _ in range(units)
            ]
            before = after
        super().__init__(*blocks, _block(CONVOLUTIONS[spatial_dims](before, embedding_dim, 3, padding=1)))
        low, high = _seen(self, 0, 0)
        self.reach = max(0, ceil(-low / downsampling), ceil((high - downsampling + 1) / downsampling))

    def forward(self, x: Image) -> Latents:
        """Return the latents of images."""
        return super().forward(x)


class MonaiDecoder(nn.Sequential):
    """The mirror of the encoder: a convolution, and levels of residual units and a transposed convolution.

    Args:
        out_channels: Channels of the images.
        embedding_dim: Length of a latent vector.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the patch that one latent vector represents: the product of all strides.
        width: Channels on the code grid, the last of `channels`.
        channels: Channels of each level, in the order of the encoder.
        unit_widths: Channels inside the residual units of each level, in the order of the encoder.
        units: Residual units of each level.
        convolutions: Stride, side of the kernel, dilation, padding and output padding of the transposed convolution of
            each level, in the order of the decoder.
        activation: One of `ACTIVATIONS`.
        output: The activation of the image.

    Raises:
        ValueError: If the numbers of levels differ, a convolution does not multiply the grid by its stride, or
            `downsampling` is not a power of two.
    """

    def __init__(
        self,
        *,
        out_channels: int = 1,
        embedding_dim: int = 64,
        spatial_dims: int = 2,
        downsampling: int = 8,
        width: int = 192,
        channels: Sequence[int] = (96, 96, 192),
        unit_widths: Sequence[int] = (96, 96, 192),
        units: int = 3,
        convolutions: Sequence[Sequence[int]] = ((2, 4, 1, 1, 0), (2, 4, 1, 1, 0), (2, 4, 1, 1, 0)),
        activation: str = "relu",
        output: str = "none",
    ) -> None:
        _check(channels, unit_widths, convolutions, downsampling=downsampling, width=width)
        before, hiddens = list(reversed(channels)), list(reversed(unit_widths))
        afters = [*before[1:], out_channels]
        blocks: list[nn.Module] = [_block(CONVOLUTIONS[spatial_dims](embedding_dim, width, 3, padding=1))]
        for level, (stride, kernel, dilation, padding, further) in enumerate(convolutions):
            if dilation * (kernel - 1) + 1 - 2 * padding + further != stride:
                raise ValueError(
                    f"convolutions: expected a convolution that multiplies the grid by its stride, got stride "
                    f"{stride}, kernel {kernel}, dilation {dilation}, padding {padding}, output padding {further}"
                )
            unit: dict[str, Any] = {"width": before[level], "hidden": hiddens[level], "activation": activation}
            blocks += [MonaiResidualUnit(spatial_dims=spatial_dims, **unit) for _ in range(units)]
            conv = TRANSPOSED[spatial_dims](
                before[level], afters[level], kernel, stride, padding, further, dilation=dilation
            )
            blocks.append(_block(conv, activation if level < len(channels) - 1 else output))
        super().__init__(*blocks)
        low, high = _seen(self, 0, downsampling - 1)
        self.reach = max(0, -low, high)

    def forward(self, z_q: Latents) -> Image:
        """Decode latents to images."""
        return super().forward(z_q)


def _block(conv: nn.Module, activation: str = "none") -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, activation=ACTIVATIONS[activation]()))


def _check(
    channels: Sequence[int],
    unit_widths: Sequence[int],
    convolutions: Sequence[Sequence[int]],
    *,
    downsampling: int,
    width: int,
) -> None:
    levels = [len(channels), len(unit_widths), len(convolutions)]
    if len(set(levels)) > 1 or not levels[0]:
        raise ValueError(f"channels, unit_widths, convolutions: expected one of each for a level, got {levels}")
    if width != channels[-1]:
        raise ValueError(f"width: expected {channels[-1]}, the last of channels, got {width}")
    halvings(downsampling)
    strides = prod(stride for stride, *_ in convolutions)
    if downsampling != strides:
        raise ValueError(f"downsampling: expected {strides}, the product of all strides, got {downsampling}")


def _seen(network: nn.Module, low: int, high: int) -> tuple[int, int]:
    """Return the range of the input that a range of the output depends on, along each axis."""
    for module in reversed(list(network.modules())):
        if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            continue
        stride, before = module.stride[0], int(module.padding[0])
        further = module.dilation[0] * (module.kernel_size[0] - 1)
        if module.transposed:
            low, high = -((further - low - before) // stride), (high + before) // stride
        else:
            low, high = low * stride - before, high * stride - before + further
    return low, high
