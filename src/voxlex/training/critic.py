"""A network that judges patches of images, for adversarial training."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from voxlex.nn.blocks import convolution
from voxlex.types import Image

_SLOPE = 0.2


class PatchCritic(nn.Module):
    """Scores each patch of an image: high for real images, low for decoded ones (PatchGAN, Isola et al., 1611.07004).

    It sees an image beside its faithful reconstruction, so that it judges the detail that belongs there. Every
    convolution is divided by its spectral norm (Miyato et al., 1802.05957).

    Args:
        in_channels: Channels of the images.
        spatial_dims: 2 for images, 3 for volumes.
        width: Channels at half the resolution; they double with each further halving.
        halvings: Number of halvings of the resolution.
    """

    def __init__(self, *, in_channels: int = 1, spatial_dims: int = 2, width: int = 32, halvings: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 2 * in_channels
        for level in range(halvings):
            wider = width * 2**level
            layers += [spectral_norm(convolution(spatial_dims, channels, wider, 4, stride=2)), nn.LeakyReLU(_SLOPE)]
            channels = wider
        self.layers = nn.Sequential(*layers, spectral_norm(convolution(spatial_dims, channels, 1, 3)))

    def forward(self, x: Image, faithful: Image) -> Float[Tensor, "b 1 *patches"]:
        """Return the scores of the patches."""
        return self.layers(torch.cat([x, faithful], dim=1) * 2 - 1)


def critic_loss(real: Tensor, drawn: Tensor) -> Float[Tensor, ""]:
    """Return the hinge loss of a critic for its scores of real and of drawn images (Lim, Ye, 1705.02894)."""
    return (1 - real).relu().mean() + (1 + drawn).relu().mean()
