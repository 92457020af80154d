"""VQ-VAE-2: codes at two scales, with networks between them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.models.autoencoder import ResidualBlock
from voxlex.models.base import Autoencoder, Reconstruction, as_weights_of, reach_of
from voxlex.nn.blocks import convolution, doubling_convolution, halvings
from voxlex.quantizers import Quantizer
from voxlex.quantizers.composed import mean_losses
from voxlex.types import Image, Latents, Levels


class VQVAE2(Autoencoder):
    """The two-level model of Razavi et al. (1906.00446, section 3.1 and figure 2a).

    The encoder gives features on the bottom grid. The top level is quantized first, from features that further
    convolutions have reduced. Its decoded features join those of the encoder, and both together give the bottom
    latents. The decoder receives the enlarged top codewords and the bottom codewords.

    Args:
        encoder: Module that maps images `(b, c, *space)` to features `(b, width, *grid)`.
        top: Quantizer of the top level.
        bottom: Quantizer of the bottom level.
        decoder: Module that maps latents with the channels of both quantizers to images.
        width: Channels of the features.
        scale: Side of a cell of the top level, in cells of the bottom level; a power of two above 1.
        blocks: Number of residual blocks of each network between the levels.
        in_channels: Number of channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the bottom grid represents.

    Raises:
        ValueError: If the scale is not a power of two above 1.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        top: Quantizer,
        bottom: Quantizer,
        decoder: nn.Module,
        width: int,
        scale: int = 4,
        blocks: int = 1,
        in_channels: int = 1,
        spatial_dims: int = 2,
        downsampling: int = 4,
    ) -> None:
        times = halvings(scale, name="scale")
        super().__init__(
            in_channels=in_channels,
            spatial_dims=spatial_dims,
            downsampling=downsampling,
            multiple_of=downsampling * scale,
        )
        dims = spatial_dims
        self.scale = scale
        self.encoder = encoder
        self.to_top = nn.Sequential(
            *[convolution(dims, width, width, 4, stride=2) for _ in range(times)],
            *[ResidualBlock(spatial_dims=dims, width=width, expansion=2) for _ in range(blocks)],
            convolution(dims, width, top.embedding_dim, 1),
        )
        self.top = top
        self.from_top = nn.Sequential(
            convolution(dims, top.embedding_dim, width, 1),
            *[ResidualBlock(spatial_dims=dims, width=width, expansion=2) for _ in range(blocks)],
            *[doubling_convolution(dims, width, width) for _ in range(times)],
        )
        self.to_bottom = convolution(dims, 2 * width, bottom.embedding_dim, 1)
        self.bottom = bottom
        self.enlarge = nn.Sequential(
            *[doubling_convolution(dims, top.embedding_dim, top.embedding_dim) for _ in range(times)]
        )
        self.decoder = decoder
        # The halvings look one cell of the top level further, and so do the doublings.
        self.encoder_reach = reach_of(encoder, scale=scale, between=2 * (blocks + 2))
        self.decoder_reach = reach_of(decoder, scale=scale, between=2)

    @property
    def quantizers(self) -> tuple[Quantizer, ...]:
        """The quantizers of the top level and of the bottom level."""
        return (self.top, self.bottom)

    @property
    def decoding_modules(self) -> tuple[nn.Module, ...]:
        """Both quantizers, the convolutions that enlarge the top codewords, and the decoder."""
        return (self.top, self.bottom, self.enlarge, self.decoder)

    @property
    def latent_dim(self) -> int:
        """Channels of both levels together."""
        return self.top.embedding_dim + self.bottom.embedding_dim

    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode an image tensor; see `Autoencoder.forward`."""
        features = self._apply_network(self.encoder, x)
        z_top = self.to_top(features)
        if not quantize:
            top = self.top.continuous(z_top)
            bottom = self.bottom.continuous(self._bottom_latents(features, top))
            x_hat = self._apply_network(self.decoder, self._joined(top, bottom))
            return Reconstruction(x_hat=x_hat, codes=None, losses={})
        top = self.top(z_top)
        bottom = self.bottom(self._bottom_latents(features, top.z_q))
        return Reconstruction(
            x_hat=self._apply_network(self.decoder, self._joined(top.z_q, bottom.z_q)),
            codes=(top.codes, bottom.codes),
            losses=mean_losses([top.losses, bottom.losses]),
        )

    def latents(self, codes: Levels) -> Latents:
        """Return the enlarged codewords of the top level and those of the bottom level, along the channels."""
        top, bottom = self.top.decode(codes[0]), self.bottom.decode(codes[1])
        return self._joined(as_weights_of(self.enlarge, top), bottom)

    def _encode(self, x: Image) -> Levels:
        features = self.encoder(x)
        top = self.top.encode(self.to_top(features))
        z_bottom = self._bottom_latents(features, as_weights_of(self.from_top, self.top.decode(top)))
        return top, self.bottom.encode(z_bottom)

    def _bottom_latents(
        self, features: Float[Tensor, "b c *grid"], top: Float[Tensor, "b t *coarse"]
    ) -> Float[Tensor, "b d *grid"]:
        return self.to_bottom(torch.cat([features, self.from_top(top)], dim=1))

    def _joined(
        self, top: Float[Tensor, "b t *coarse"], bottom: Float[Tensor, "b d *grid"]
    ) -> Float[Tensor, "b l *grid"]:
        enlarged = self.enlarge(top)
        return torch.cat([enlarged, bottom.to(enlarged.dtype)], dim=1)

    def _grids(self, space: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [tuple(side // (self.downsampling * scale) for side in space) for scale in (self.scale, 1)]
