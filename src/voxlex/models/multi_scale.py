"""A VQ-VAE whose latents are quantized from coarse to fine."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from voxlex.codes import from_levels
from voxlex.models.base import Autoencoder, Reconstruction, reach_of
from voxlex.quantizers import Quantizer
from voxlex.quantizers.composed import check_stageable, mean_losses, quantizers
from voxlex.quantizers.gradients import Gradient, estimator
from voxlex.types import Image, Latents, Levels

_POOLS = {2: functional.avg_pool2d, 3: functional.avg_pool3d}
_ENLARGE = {2: "bilinear", 3: "trilinear"}


class MultiScaleVQVAE(Autoencoder):
    """Quantizes latents at several scales, each level what the coarser ones have left over.

    This is the multi-scale residual quantization of VAR (Tian et al., 2404.02905, algorithm 1), with means over cells
    on the way to a coarse grid, and linear interpolation on the way back. The decoder receives the sum of all levels. A
    coarse code says in a few bits what a whole region looks like, so a prior over the levels plans an image before it
    draws the details.

    The gradient passes the sum once, as in `ResidualQuantizer`.

    Args:
        encoder: Module that maps images `(b, c, *space)` to latents `(b, d, *grid)`.
        quantizers: The quantizer of each level, coarsest first, all with the same d. Quantizers that are not
            `stageable` are refused.
        scales: Side of a cell of each level, in cells of the finest level. Each is a multiple of the next, and the last
            is 1.
        decoder: Module that maps latents to images.
        in_channels: Number of channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the finest grid represents.
        gradient: How the gradient passes the sum, `"straight_through"` or `"rotation"` (see `gradients`).

    Raises:
        ValueError: If the scales are not as described, or do not fit the quantizers.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        quantizers: Sequence[Quantizer],
        scales: Sequence[int],
        decoder: nn.Module,
        in_channels: int = 1,
        spatial_dims: int = 2,
        downsampling: int = 4,
        gradient: Gradient = "straight_through",
    ) -> None:
        check_scales(scales)
        if len(quantizers) != len(scales) or len({quantizer.embedding_dim for quantizer in quantizers}) != 1:
            lengths = [quantizer.embedding_dim for quantizer in quantizers]
            raise ValueError(f"quantizers: expected {len(scales)} of one embedding_dim, got embedding_dim {lengths}")
        check_stageable(quantizers, name="quantizers")
        super().__init__(
            in_channels=in_channels,
            spatial_dims=spatial_dims,
            downsampling=downsampling,
            multiple_of=downsampling * scales[0],
        )
        self.encoder = encoder
        self.level_quantizers = nn.ModuleList(quantizers)
        self.decoder = decoder
        self.scales = tuple(scales)
        self.estimate = estimator(gradient)
        # Interpolation looks one cell of each level further: together less than two of the coarsest.
        between = 2 if len(scales) > 1 else 0
        self.encoder_reach = reach_of(encoder, scale=scales[0], between=between)
        self.decoder_reach = reach_of(decoder, scale=scales[0], between=min(between, 1))

    @property
    def quantizers(self) -> tuple[Quantizer, ...]:
        """The quantizer of each level, coarsest first."""
        return tuple(quantizers(self.level_quantizers))

    @property
    def decoding_modules(self) -> tuple[nn.Module, ...]:
        """The quantizers and the decoder."""
        return (self.level_quantizers, self.decoder)

    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode an image tensor; see `Autoencoder.forward`."""
        z_e = self._apply_network(self.encoder, x)
        if not quantize:
            return Reconstruction(x_hat=self._apply_network(self.decoder, self._continuous(z_e)), codes=None, losses={})
        with torch.autocast(z_e.device.type, enabled=False):
            rest, total, passes = z_e.float(), torch.zeros_like(z_e, dtype=torch.float32), []
            for quantizer, scale in zip(self.quantizers, self.scales, strict=True):
                passes.append(quantizer(self._reduced(rest, scale)))
                part = self._enlarged(passes[-1].z_q.detach(), scale)
                rest, total = rest - part, total + part
            z_q = self.estimate(z_e.float(), total)
        return Reconstruction(
            x_hat=self._apply_network(self.decoder, z_q),
            codes=from_levels([quantized.codes for quantized in passes]),
            losses=mean_losses([quantized.losses for quantized in passes]),
        )

    def latents(self, codes: Levels) -> Latents:
        """Return the sum of the codewords of all levels."""
        steps = zip(self.quantizers, codes, self.scales, strict=True)
        parts = [self._enlarged(quantizer.decode(own), scale) for quantizer, own, scale in steps]
        return torch.stack(parts).sum(dim=0)

    def _encode(self, x: Image) -> Levels:
        rest, codes = self.encoder(x).float(), []
        for quantizer, scale in zip(self.quantizers, self.scales, strict=True):
            codes.append(quantizer.encode(self._reduced(rest, scale)))
            rest = rest - self._enlarged(quantizer.decode(codes[-1]), scale)
        return tuple(codes)

    def _continuous(self, z_e: Latents) -> Latents:
        rest, total = z_e, torch.zeros_like(z_e)
        for quantizer, scale in zip(self.quantizers, self.scales, strict=True):
            part = self._enlarged(quantizer.continuous(self._reduced(rest, scale)), scale)
            rest, total = rest - part, total + part
        return total

    def _grids(self, space: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [tuple(side // (self.downsampling * scale) for side in space) for scale in self.scales]

    def _reduced(self, latents: Float[Tensor, "b d *grid"], scale: int) -> Float[Tensor, "b d *coarse"]:
        return latents if scale == 1 else _POOLS[self.spatial_dims](latents, scale)

    def _enlarged(self, latents: Float[Tensor, "b d *coarse"], scale: int) -> Float[Tensor, "b d *grid"]:
        if scale == 1:
            return latents
        mode = _ENLARGE[self.spatial_dims]
        return functional.interpolate(latents, scale_factor=float(scale), mode=mode, align_corners=False)


def check_scales(scales: Sequence[int]) -> None:
    """Raise ValueError unless each scale is a larger multiple of the next, and the last is 1."""
    if not scales or scales[-1] != 1 or any(coarse <= fine or coarse % fine for coarse, fine in pairwise(scales)):
        raise ValueError(f"scales: expected multiples of each other, the last of them 1, as in 4 2 1, got {scales}")
