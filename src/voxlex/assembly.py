"""From a configuration to modules; the one place where the two meet."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from voxlex.config import ModelConfig, PaperNetworkConfig, PixelCNNConfig
from voxlex.models import VQVAE, Decoder, Encoder, PaperDecoder, PaperEncoder
from voxlex.priors import GatedPixelCNN, Prior
from voxlex.quantizers import VectorQuantizer


def build_autoencoder(config: ModelConfig) -> VQVAE:
    """Return a new, untrained autoencoder."""
    network, quantizer = config.network, _arguments(config.quantizer)
    shared: dict[str, Any] = {
        "spatial_dims": config.spatial_dims,
        "downsampling": network.downsampling,
        "width": network.width,
        "embedding_dim": config.quantizer.embedding_dim,
    }
    encoder: nn.Module
    decoder: nn.Module
    if isinstance(network, PaperNetworkConfig):
        shared |= {"blocks": network.blocks, "block_width": network.block_width}
        encoder = PaperEncoder(in_channels=config.in_channels, **shared)
        decoder = PaperDecoder(out_channels=config.in_channels, **shared)
    else:
        shared |= {"stem_width": network.stem_width, "expansion": network.expansion}
        encoder = Encoder(in_channels=config.in_channels, blocks=network.encoder_blocks, **shared)
        decoder = Decoder(out_channels=config.in_channels, blocks=network.decoder_blocks, **shared)
    return VQVAE(
        encoder=encoder,
        quantizer=VectorQuantizer(**quantizer),
        decoder=decoder,
        in_channels=config.in_channels,
        spatial_dims=config.spatial_dims,
        downsampling=network.downsampling,
    )


def build_prior(config: PixelCNNConfig, *, num_embeddings: int, grid: Sequence[int], classes: int) -> Prior:
    """Return a new, untrained prior over the codes of an autoencoder.

    Args:
        config: Its settings.
        num_embeddings: Codewords of the autoencoder's codebook.
        grid: Codes along each axis of an image.
        classes: Classes it may be asked for; 0 for none.
    """
    arguments = _arguments(config)
    del arguments["condition"]
    return GatedPixelCNN(num_embeddings=num_embeddings, grid=grid, classes=classes, **arguments)


def _arguments(config: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "kind"}
