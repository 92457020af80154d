"""A decoder that also draws the fine detail that codes do not contain."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.models.base import Autoencoder, as_weights_of
from voxlex.nn.blocks import convolution, depth_to_space
from voxlex.streams import Streams
from voxlex.types import Image, Latents, Levels


class TexturedDecoder(nn.Module):
    """A copy of a decoder, to whose output it adds noise that is shaped by the codes.

    The output is D(z) + Σ_k a_k(z) · (f_k ∗ ε). D is the copy of the decoder, ε is white noise with one number for each
    pixel, the f_k are learned filters, and the amplitudes a_k, one for each pixel, come from the latents z. A new
    module has amplitudes of zero, so that its output equals that of the decoder.

    Args:
        decoder: The decoder to begin with, which stays as it is.
        embedding_dim: Length of a latent vector.
        out_channels: Channels of the images.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the patch that one latent vector represents; a power of two.
        grains: Number of filters.
        width: Channels of the network for the amplitudes.
    """

    def __init__(
        self,
        decoder: nn.Module,
        *,
        embedding_dim: int,
        out_channels: int = 1,
        spatial_dims: int = 2,
        downsampling: int = 4,
        grains: int = 4,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.out_channels = out_channels
        self.decoder = copy.deepcopy(decoder)
        self.filters = convolution(spatial_dims, out_channels, grains, 5)
        last = convolution(spatial_dims, width, grains * out_channels * downsampling**spatial_dims, 1)
        nn.init.zeros_(last.weight)
        self.amplitudes = nn.Sequential(convolution(spatial_dims, embedding_dim, width, 3), nn.ReLU(), last)
        for part in (self.filters, last):
            assert part.bias is not None
            nn.init.zeros_(part.bias)

    def forward(self, z_q: Latents, noise: Image) -> Image:
        """Decode latents, with standard normal noise for each pixel, to images that are not clamped."""
        plain, grain = self.parts(z_q, noise)
        return plain + grain

    def parts(self, z_q: Latents, noise: Image) -> tuple[Image, Image]:
        """Return D(z), the image without its noise, and the noise that is added to it."""
        amplitudes = self.amplitudes(z_q)
        side = 1
        while side < self.downsampling:
            amplitudes, side = depth_to_space(amplitudes, 2), 2 * side
        drawn = self.filters(noise).unsqueeze(1) * amplitudes.unflatten(1, (self.out_channels, -1))
        return self.decoder(z_q), drawn.sum(dim=2)

    @torch.no_grad()
    def decode(self, z_q: Latents, noise: Image) -> Image:
        """Decode latents to images, float32 in [0, 1]."""
        z_q = as_weights_of(self, z_q)
        return self(z_q, noise.to(z_q)).float().clamp(0, 1)

    def of_tiles(
        self, autoencoder: Autoencoder, levels: Levels, *, seed: int
    ) -> Callable[[Levels, tuple[slice, ...]], Image]:
        """Return a function that decodes tiles of codes, each with its part of the noise.

        Args:
            autoencoder: The autoencoder whose codes these are.
            levels: The codes of whole images.
            seed: Seed of the noise; see `noise_for`.
        """
        space = autoencoder.space_of([level.shape[2:] for level in levels])
        noise = noise_for(levels, shape=(autoencoder.in_channels, *space), seed=seed)
        return lambda own, region: self.decode(autoencoder.latents(own), noise[region])


def noise_for(codes: Levels, *, shape: Sequence[int], seed: int) -> Image:
    """Return standard normal noise of shape `(b, *shape)` for the textures of images.

    The noise of an image depends on its codes and the seed alone. So an image looks the same whichever images are
    decoded beside it.
    """
    rows = [b"".join(level.cpu().numpy().tobytes() for level in image) for image in zip(*codes, strict=True)]
    digests = [hashlib.blake2b(row, digest_size=8).digest() for row in rows]
    keys = [(int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")) for digest in digests]
    uniform: Float[Tensor, "b n"] = Streams(seed, keys).take(prod(shape))
    normal = torch.special.ndtri(uniform.clamp(2**-32, 1 - 2**-32)).float()
    return normal.view(len(keys), *shape)
