"""The VQ-VAE: an encoder, a quantizer and a decoder, and the verbs over them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxlex.errors import CodesError
from voxlex.models.arrays import to_image_tensor
from voxlex.quantizers import Quantizer
from voxlex.types import Codes, Image


class Reconstruction(NamedTuple):
    """What the model makes of a batch of images.

    Attributes:
        x_hat: Reconstructions, not clamped.
        codes: The codes they were made from; None if the latents were not quantized.
        losses: The quantizer's loss terms, by name.
    """

    x_hat: Image
    codes: Codes | None
    losses: Mapping[str, Float[Tensor, ""]]


class VQVAE(nn.Module):
    """Vector-quantized variational autoencoder (van den Oord et al., 1711.00937).

    Args:
        encoder: Images `(b, c, *space)` to latents `(b, d, *grid)`.
        quantizer: Latents to codes and back.
        decoder: Latents to images.
        in_channels: Channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the grid stands for.

    Attributes:
        checkpoint_activations: Whether encoder and decoder forget their activations in training and compute them again
            for the gradient (Chen et al., 1604.06174): less memory, more time, the same results.
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
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.downsampling = downsampling
        self.checkpoint_activations = False

    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode an image tensor; gradients flow, and in training mode the codebook learns.

        Args:
            x: Images in [0, 1].
            quantize: If not, the decoder gets the quantizer's `continuous` latents.
        """
        z_e = self._apply_network(self.encoder, x)
        if not quantize:
            x_hat = self._apply_network(self.decoder, self.quantizer.continuous(z_e))
            return Reconstruction(x_hat=x_hat, codes=None, losses={})
        quantized = self.quantizer(z_e)
        x_hat = self._apply_network(self.decoder, quantized.z_q)
        return Reconstruction(x_hat=x_hat, codes=quantized.codes, losses=quantized.losses)

    def _apply_network(self, network: nn.Module, x: Tensor) -> Tensor:
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            return checkpoint(network, x, use_reentrant=False)
        return network(x)

    @torch.no_grad()
    def encode(self, images: np.ndarray | Tensor) -> Codes:
        """Return the codes of images.

        Args:
            images: NumPy `(b, h, w)` or channels-last `(b, h, w, c)`, or a tensor `(b, c, h, w)`; uint8, uint16, or
                float in [0, 1].

        Raises:
            ValueError: If shape, type or range cannot be images for this model.
        """
        x = to_image_tensor(images, channels=self.in_channels, spatial_dims=self.spatial_dims)
        if any(side % self.downsampling for side in x.shape[2:]):
            raise ValueError(
                f"images: expected sides that are multiples of {self.downsampling}, got {tuple(x.shape[2:])}"
            )
        return self.quantizer.encode(self.encoder(x.to(self.device)))

    @torch.no_grad()
    def decode(self, codes: np.ndarray | Tensor) -> Image:
        """Return the images that codes `(b, q, *grid)` stand for, float32 in [0, 1].

        Raises:
            CodesError: If the codes are of the wrong shape, type or range.
        """
        codes = torch.as_tensor(codes, device=self.device)
        if codes.is_floating_point() or codes.dtype == torch.bool:
            raise CodesError(f"codes: expected integers, got {codes.dtype}")
        if codes.ndim != 2 + self.spatial_dims:
            raise CodesError(f"codes: expected {2 + self.spatial_dims} axes (b, q, *grid), got {tuple(codes.shape)}")
        return self.decoder(self.quantizer.decode(codes.long())).float().clamp(0, 1)

    def reconstruct(self, images: np.ndarray | Tensor) -> Image:
        """Return the images as the vocabulary says them: `decode(encode(images))`."""
        return self.decode(self.encode(images))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
