"""A small autoencoder with codes at two scales, which every verb must take."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from voxlex import Vocabulary
from voxlex.config import Config, DataConfig
from voxlex.models import Autoencoder, Reconstruction
from voxlex.nn.blocks import convolution, depth_to_space, space_to_depth
from voxlex.priors import Prior
from voxlex.quantizers import Quantizer, ResidualQuantizer, VectorQuantizer

PATCH, POOLED = 4, 2
"""Side of the patch of a fine cell in pixels, and of a coarse cell in fine cells."""


class TwoLevels(Autoencoder):
    """Coarse codes of the latents' means over 2×2 cells, and two fine codes a cell of what is left."""

    encoder_reach = 1
    decoder_reach = 1

    def __init__(self, *, spatial_dims: int = 2) -> None:
        super().__init__(spatial_dims=spatial_dims, downsampling=PATCH, multiple_of=PATCH * POOLED)
        self.encoder = convolution(spatial_dims, PATCH**spatial_dims, 4, 3)
        self.coarse = VectorQuantizer(num_embeddings=8, embedding_dim=4)
        stages = [VectorQuantizer(num_embeddings=300, embedding_dim=4) for _ in range(2)]
        self.fine = ResidualQuantizer(stages=stages)
        self.decoder = convolution(spatial_dims, 4, PATCH**spatial_dims, 3)
        self.pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[spatial_dims]

    @property
    def quantizers(self) -> tuple[Quantizer, ...]:
        return (self.coarse, self.fine)

    @property
    def decoding_modules(self) -> tuple[nn.Module, ...]:
        return (self.coarse, self.fine, self.decoder)

    def forward(self, x: Tensor, *, quantize: bool = True) -> Reconstruction:
        z_e = self.encoder(space_to_depth(x, PATCH))
        means = self.pool(z_e, POOLED)
        if not quantize:
            continuous = self.fine.continuous(z_e - _enlarged(means)) + _enlarged(self.coarse.continuous(means))
            return Reconstruction(x_hat=self._to_images(continuous), codes=None, losses={})
        coarse = self.coarse(means)
        fine = self.fine(z_e - _enlarged(coarse.z_q))
        losses = {f"coarse_{name}": value for name, value in coarse.losses.items()} | dict(fine.losses)
        x_hat = self._to_images(fine.z_q + _enlarged(coarse.z_q))
        return Reconstruction(x_hat=x_hat, codes=(coarse.codes, fine.codes), losses=losses)

    def _grids(self, space: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [tuple(side // patch for side in space) for patch in (PATCH * POOLED, PATCH)]

    def _encode(self, x: Tensor) -> tuple[Tensor, ...]:
        z_e = self.encoder(space_to_depth(x, PATCH))
        coarse = self.coarse.encode(self.pool(z_e, POOLED))
        return coarse, self.fine.encode(z_e - _enlarged(self.coarse.decode(coarse)))

    def _decode(self, codes: tuple[Tensor, ...]) -> Tensor:
        coarse, fine = codes
        return self._to_images(self.fine.decode(fine) + _enlarged(self.coarse.decode(coarse)))

    def _to_images(self, z_q: Tensor) -> Tensor:
        return depth_to_space(self.decoder(z_q), PATCH)


def _enlarged(coarse: Tensor) -> Tensor:
    return functional.interpolate(coarse, scale_factor=float(POOLED), mode="nearest")


def untrained(*, spatial_dims: int = 2) -> TwoLevels:
    """A model whose codebooks have seen some noise, in eval mode."""
    torch.manual_seed(0)
    model = TwoLevels(spatial_dims=spatial_dims)
    model(torch.rand(16, 1, *[32] * spatial_dims))  # starts the codebooks
    return model.eval()


def vocabulary(autoencoder: Autoencoder, prior: Prior | None, *, size: int = 32) -> Vocabulary:
    config = Config(data=DataConfig(size=size, spacing_mm=2.0 if autoencoder.spatial_dims == 3 else None))
    return Vocabulary(autoencoder=autoencoder, prior=prior, config=config, metadata={})
