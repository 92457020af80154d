"""From a configuration to modules; the one place where the two meet."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from voxlex.codes import CodeLayout
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
from voxlex.priors import Conditions, GatedPixelCNN, HierarchicalPrior, MaskedPrior, Prior, TransformerPrior
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


def build_prior(config: PriorConfig, *, layouts: Sequence[CodeLayout], conditions: Conditions) -> Prior:
    """Return a new, untrained prior over the codes of an autoencoder.

    Args:
        config: Its settings; with several levels, those of each level's prior.
        layouts: Layout of the codes of each level, coarsest first.
        conditions: What it may be asked for.
    """
    arguments = _arguments(config)
    del arguments["condition_columns"]
    kind: type[GatedPixelCNN | MaskedPrior | TransformerPrior]
    match config:
        case TransformerPriorConfig():
            kind = TransformerPrior
        case MaskedPriorConfig():
            kind = MaskedPrior
        case _:
            kind = GatedPixelCNN
    levels = [
        kind(layout=layout, context=layouts[:place], conditions=conditions, **arguments)
        for place, layout in enumerate(layouts)
    ]
    return levels[0] if len(levels) == 1 else HierarchicalPrior(levels=levels)


def _arguments(config: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "kind"}
