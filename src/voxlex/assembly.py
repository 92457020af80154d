"""Build modules from a configuration. Only this file knows both."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import torch

from voxlex.codes import CodeLayout
from voxlex.config import Config, ModelConfig, NetworkConfig, PriorConfig, QuantizerConfig
from voxlex.config.quantizers import GroupedQuantizerConfig, ResidualQuantizerConfig
from voxlex.config.validation import one_of
from voxlex.errors import ConfigError
from voxlex.models import NETWORKS, VQVAE
from voxlex.priors import PRIORS, Conditions, HierarchicalPrior, Prior
from voxlex.quantizers import QUANTIZERS, GroupedQuantizer, Quantizer, ResidualQuantizer

T = TypeVar("T")


def build_autoencoder(config: ModelConfig) -> VQVAE:
    """Build a new, untrained autoencoder.

    Raises:
        ConfigError: If the kind of the network or of the quantizer is unknown.
    """
    network = config.network
    encoder_class, decoder_class = _chosen(NETWORKS, network, "network")
    shared = {"spatial_dims": config.spatial_dims, "embedding_dim": config.quantizer.embedding_dim}
    # The order matters: with a seed, the encoder takes the first random numbers, and the decoder the next.
    encoder = encoder_class(in_channels=config.in_channels, **shared, **_arguments_of("encoder", network))
    decoder = decoder_class(out_channels=config.in_channels, **shared, **_arguments_of("decoder", network))
    return VQVAE(
        encoder=encoder,
        quantizer=build_quantizer(config.quantizer),
        decoder=decoder,
        in_channels=config.in_channels,
        spatial_dims=config.spatial_dims,
        downsampling=network.downsampling,
    )


def build_quantizer(config: QuantizerConfig) -> Quantizer:
    """Build a new, untrained quantizer.

    Raises:
        ConfigError: If the kind is unknown.
    """
    quantizer = _chosen(QUANTIZERS, config, "quantizer")
    if isinstance(config, ResidualQuantizerConfig):
        stages = [build_quantizer(config.stage) for _ in range(1 if config.shared else config.num_codebooks)]
        return ResidualQuantizer(
            stages=stages, num_codebooks=config.num_codebooks, gradient=config.gradient, dropout=config.dropout
        )
    if isinstance(config, GroupedQuantizerConfig):
        return GroupedQuantizer(groups=[build_quantizer(config.group) for _ in range(config.num_codebooks)])
    return quantizer(**_arguments(config))


def build_prior(config: PriorConfig, *, layouts: Sequence[CodeLayout], conditions: Conditions) -> Prior:
    """Build a new, untrained prior over the codes of an autoencoder.

    Args:
        config: Settings of the prior. With several levels, the prior of each level has these settings.
        layouts: Layout of the codes of each level, coarsest first.
        conditions: Conditions of the prior.

    Raises:
        ConfigError: If the kind is unknown.
    """
    kind = _chosen(PRIORS, config, "prior")
    arguments = _arguments(config)
    del arguments["condition_columns"]
    levels = [
        kind(layout=layout, context=layouts[:place], conditions=conditions, **arguments)
        for place, layout in enumerate(layouts)
    ]
    return levels[0] if len(levels) == 1 else HierarchicalPrior(levels=levels)


def build_shapes(config: Config, conditions: Conditions) -> tuple[VQVAE, Prior]:
    """Build both networks of an experiment without memory for their weights, to see whether they can be built.

    Raises:
        ConfigError: If a setting does not fit the others. The message names the network.
    """
    space = (config.data.size,) * config.model.spatial_dims
    building = "model"
    try:
        with torch.device("meta"):
            autoencoder = build_autoencoder(config.model)
            building = "data.size"
            layouts = autoencoder.layouts(space)
            building = "prior"
            return autoencoder, build_prior(config.prior, layouts=layouts, conditions=conditions)
    except (ValueError, TypeError) as cause:
        raise ConfigError(f"{building}: {cause}") from cause


def _chosen(table: Mapping[str, T], config: Any, what: str) -> T:
    """Look up the kind of a configuration in a table."""
    kind = getattr(config, "kind", type(config).__name__)
    if kind not in table:
        raise ConfigError(f"kind of {what}: {one_of(list(table), kind)}")
    return table[kind]


def _arguments(config: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "kind"}


def _arguments_of(side: str, network: NetworkConfig) -> dict[str, Any]:
    """Return the settings of the encoder or of the decoder: those with its prefix, and those without a prefix."""
    arguments = _arguments(network)
    other = {"encoder": "decoder", "decoder": "encoder"}[side]
    return {name.removeprefix(f"{side}_"): arguments[name] for name in arguments if not name.startswith(f"{other}_")}
