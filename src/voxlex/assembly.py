"""From a configuration to modules; the one place where the two meet."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from voxlex.config import (
    FiniteScalarQuantizerConfig,
    GroupedQuantizerConfig,
    GumbelQuantizerConfig,
    LookupFreeQuantizerConfig,
    MaskedPriorConfig,
    ModelConfig,
    PaperNetworkConfig,
    PriorConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    SimVQConfig,
    TransformerPriorConfig,
)
from voxlex.models import VQVAE, Decoder, Encoder, PaperDecoder, PaperEncoder
from voxlex.priors import Conditions, GatedPixelCNN, MaskedPrior, Prior, TransformerPrior
from voxlex.quantizers import (
    FiniteScalarQuantizer,
    GroupedQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    ResidualQuantizer,
    SimVQ,
    VectorQuantizer,
)


def build_autoencoder(config: ModelConfig) -> VQVAE:
    """Return a new, untrained autoencoder."""
    network = config.network
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
        quantizer=build_quantizer(config.quantizer),
        decoder=decoder,
        in_channels=config.in_channels,
        spatial_dims=config.spatial_dims,
        downsampling=network.downsampling,
    )


def build_quantizer(config: QuantizerConfig) -> Quantizer:
    """Return a new, untrained quantizer."""
    match config:
        case ResidualQuantizerConfig():
            stages = [build_quantizer(config.stage) for _ in range(1 if config.shared else config.num_codebooks)]
            return ResidualQuantizer(
                stages=stages, num_codebooks=config.num_codebooks, gradient=config.gradient, dropout=config.dropout
            )
        case GroupedQuantizerConfig():
            return GroupedQuantizer(groups=[build_quantizer(config.group) for _ in range(config.num_codebooks)])
        case FiniteScalarQuantizerConfig():
            return FiniteScalarQuantizer(**_arguments(config))
        case LookupFreeQuantizerConfig():
            return LookupFreeQuantizer(**_arguments(config))
        case SimVQConfig():
            return SimVQ(**_arguments(config))
        case GumbelQuantizerConfig():
            return GumbelQuantizer(**_arguments(config))
        case _:
            return VectorQuantizer(**_arguments(config))


def build_prior(
    config: PriorConfig, *, num_embeddings: int, num_codebooks: int, grid: Sequence[int], conditions: Conditions
) -> Prior:
    """Return a new, untrained prior over the codes of an autoencoder.

    Args:
        config: Its settings.
        num_embeddings: Codewords of each of the autoencoder's codebooks.
        num_codebooks: Codes in each cell.
        grid: Codes along each axis of an image.
        conditions: What it may be asked for.
    """
    arguments = _arguments(config)
    del arguments["condition_columns"]
    shared: dict[str, Any] = {"num_embeddings": num_embeddings, "num_codebooks": num_codebooks}
    shared |= {"grid": grid, "conditions": conditions}
    match config:
        case TransformerPriorConfig():
            return TransformerPrior(**shared, **arguments)
        case MaskedPriorConfig():
            return MaskedPrior(**shared, **arguments)
        case _:
            return GatedPixelCNN(**shared, **arguments)


def _arguments(config: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "kind"}
