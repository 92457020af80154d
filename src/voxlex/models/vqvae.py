"""The VQ-VAE: an encoder, a quantizer and a decoder."""

from torch import Tensor, nn

from voxlex.models.arrays import ArrayLike
from voxlex.models.base import Autoencoder, Reconstruction, reach_of
from voxlex.quantizers import Quantizer
from voxlex.types import Codes, Image, Latents, Levels


class VQVAE(Autoencoder):
    """Vector-quantized variational autoencoder (van den Oord et al., 1711.00937), with codes at one level.

    Args:
        encoder: Module that maps images `(b, c, *space)` to latents `(b, d, *grid)`.
        quantizer: Quantizer that maps latents to codes and back.
        decoder: Module that maps latents to images.
        in_channels: Number of channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the grid represents.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        in_channels: int = 1,
        spatial_dims: int = 2,
        downsampling: int = 4,
    ) -> None:
        super().__init__(in_channels=in_channels, spatial_dims=spatial_dims, downsampling=downsampling)
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.encoder_reach = reach_of(encoder)
        self.decoder_reach = reach_of(decoder)

    @property
    def quantizers(self) -> tuple[Quantizer, ...]:
        """The one quantizer."""
        return (self.quantizer,)

    @property
    def decoding_modules(self) -> tuple[nn.Module, ...]:
        """The quantizer and the decoder."""
        return (self.quantizer, self.decoder)

    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode an image tensor; see `Autoencoder.forward`."""
        z_e = self._apply_network(self.encoder, x)
        if not quantize:
            x_hat = self._apply_network(self.decoder, self.quantizer.continuous(z_e))
            return Reconstruction(x_hat=x_hat, codes=None, losses={})
        quantized = self.quantizer(z_e)
        x_hat = self._apply_network(self.decoder, quantized.z_q)
        return Reconstruction(x_hat=x_hat, codes=quantized.codes, losses=quantized.losses)

    def latents(self, codes: Levels) -> Latents:
        """Return the codewords."""
        return self.quantizer.decode(codes[0])

    def encode(self, images: ArrayLike) -> Codes:
        """Return the codes `(b, q, *grid)` of images; see `Autoencoder.encode`."""
        codes = super().encode(images)
        assert isinstance(codes, Tensor)
        return codes

    def _grids(self, space: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [tuple(side // self.downsampling for side in space)]

    def _encode(self, x: Image) -> Levels:
        return (self.quantizer.encode(self.encoder(x)),)
