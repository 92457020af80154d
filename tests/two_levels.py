"""A small autoencoder with codes at two scales, which every verb must take."""

import torch

from voxlex import Vocabulary
from voxlex.config import Config, DataConfig
from voxlex.models import Autoencoder, Decoder, Encoder, MultiScaleVQVAE
from voxlex.priors import Prior
from voxlex.quantizers import ResidualQuantizer, VectorQuantizer

PATCH, POOLED = 4, 2
"""Side of the patch of a fine cell in pixels, and of a coarse cell in fine cells."""


def two_levels(*, spatial_dims: int = 2) -> MultiScaleVQVAE:
    """A model with one coarse code for 2×2 cells, and two fine codes a cell of what is left."""
    small = {"embedding_dim": 4, "spatial_dims": spatial_dims, "width": 8, "stem_width": 4, "blocks": 0}
    stages = [VectorQuantizer(num_embeddings=300, embedding_dim=4) for _ in range(2)]
    return MultiScaleVQVAE(
        encoder=Encoder(**small),
        quantizers=[VectorQuantizer(num_embeddings=8, embedding_dim=4), ResidualQuantizer(stages=stages)],
        scales=(POOLED, 1),
        decoder=Decoder(**small),
        spatial_dims=spatial_dims,
        downsampling=PATCH,
    )


def untrained(*, spatial_dims: int = 2) -> MultiScaleVQVAE:
    """A model whose codebooks have seen some noise, in eval mode."""
    torch.manual_seed(0)
    model = two_levels(spatial_dims=spatial_dims)
    model(torch.rand(16, 1, *[32] * spatial_dims))  # starts the codebooks
    return model.eval()


def vocabulary(autoencoder: Autoencoder, prior: Prior | None, *, size: int = 32) -> Vocabulary:
    config = Config(data=DataConfig(size=size, spacing_mm=2.0 if autoencoder.spatial_dims == 3 else None))
    return Vocabulary(autoencoder=autoencoder, prior=prior, config=config, metadata={})
