"""Build modules from a configuration. Only this file knows both."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from voxlex.codes import CodeLayout
from voxlex.config import Config, ModelConfig, NetworkConfig, PriorConfig, QuantizerConfig
from voxlex.config.levels import MultiScaleConfig, VQVAE2Config
from voxlex.config.quantizers import GroupedQuantizerConfig, ResidualQuantizerConfig
from voxlex.config.validation import one_of
from voxlex.errors import ConfigError, RunError, brief
from voxlex.models import NETWORKS, VQVAE, VQVAE2, Autoencoder, MultiScaleVQVAE
from voxlex.models.texture import TexturedDecoder
from voxlex.priors import PRIORS, Conditions, HierarchicalPrior, Prior
from voxlex.priors.conditions import Categorical
from voxlex.quantizers import QUANTIZERS, GroupedQuantizer, Quantizer, ResidualQuantizer

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)

_ORDINARY = 2**28
"""Up to this product of the three largest numbers among their settings, modules surely fit into memory."""

_UNKNOWN_MEMORY = 2**36


def build_autoencoder(config: ModelConfig) -> Autoencoder:
    """Build a new, untrained autoencoder.

    Raises:
        ConfigError: If the kind of the network or of the quantizer is unknown, or its weights would not fit
            into the memory.
        ValueError: If the settings of a module do not fit together.
    """
    return _within_memory(lambda: _build_autoencoder(config), list(_sizes(config, "model")))


def _build_autoencoder(config: ModelConfig) -> Autoencoder:
    network, levels, dims = config.network, config.levels, config.spatial_dims
    encoder_class, decoder_class = _chosen(NETWORKS, network, "network")
    latents = features = config.quantizer.embedding_dim
    if isinstance(levels, VQVAE2Config):
        latents, features = latents + levels.coarse.embedding_dim, network.width
    # The order matters: with a seed, the encoder takes the first random numbers, and the decoder the next.
    encoder = encoder_class(
        in_channels=config.in_channels, spatial_dims=dims, embedding_dim=features, **_arguments_of("encoder", network)
    )
    decoder = decoder_class(
        out_channels=config.in_channels, spatial_dims=dims, embedding_dim=latents, **_arguments_of("decoder", network)
    )
    finest = build_quantizer(config.quantizer)
    shared: dict[str, Any] = {
        "encoder": encoder,
        "decoder": decoder,
        "in_channels": config.in_channels,
        "spatial_dims": dims,
        "downsampling": network.downsampling,
    }
    match levels:
        case MultiScaleConfig(scales=scales):
            coarser = [build_quantizer(levels.coarse) for _ in scales[:-1]]
            return MultiScaleVQVAE(**shared, quantizers=[*coarser, finest], scales=scales)
        case VQVAE2Config(scale=scale, blocks=blocks):
            top = build_quantizer(levels.coarse)
            return VQVAE2(**shared, top=top, bottom=finest, width=network.width, scale=scale, blocks=blocks)
    return VQVAE(**shared, quantizer=finest)


def build_texture(autoencoder: Autoencoder) -> TexturedDecoder:
    """Build a new textured decoder, which begins with the decoder of an autoencoder."""
    return TexturedDecoder(
        autoencoder.decoder,
        embedding_dim=autoencoder.latent_dim,
        out_channels=autoencoder.in_channels,
        spatial_dims=autoencoder.spatial_dims,
        downsampling=autoencoder.downsampling,
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
        ConfigError: If the kind is unknown, or the memory would not hold its weights.
        ValueError: If the settings do not fit together.
    """
    kind = _chosen(PRIORS, config, "prior")
    arguments = _arguments(config)
    del arguments["condition_columns"]

    def build() -> Prior:
        levels = [
            kind(layout=layout, context=layouts[:place], conditions=conditions, **arguments)
            for place, layout in enumerate(layouts)
        ]
        return levels[0] if len(levels) == 1 else HierarchicalPrior(levels=levels)

    codes = [_Size("model.quantizer.num_embeddings", layout.num_embeddings, 1024) for layout in layouts]
    cells = [_Size("data.size", layout.cells, 1024) for layout in layouts]
    return _within_memory(build, [*_sizes(config, "prior"), *codes, *cells])


def described_conditions(metadata: Mapping[str, Any], *, where: Path) -> Conditions:
    """Return the conditions of the prior of a run, as its metadata describe them.

    Args:
        metadata: The metadata of the run.
        where: Their file, for messages.

    Raises:
        RunError: If they describe none.
    """
    try:
        conditions = Conditions.from_description(metadata["conditions"])
        for column in conditions.columns:
            words = (column.name, *(column.values if isinstance(column, Categorical) else ()))
            if not all(isinstance(word, str) for word in words):
                raise TypeError("expected text")
        return conditions
    except (KeyError, TypeError, ValueError) as cause:
        raise RunError(
            f"{where}: conditions: expected the names of columns with their values or range, "
            f"got {brief(metadata.get('conditions'))}"
        ) from cause


class _Size(NamedTuple):
    """A setting on which the size of a module depends, its value, and what is usual."""

    setting: str
    value: int
    usual: int


def _sizes(config: Any, name: str) -> Iterator[_Size]:
    """Find the whole numbers among settings."""
    for field in fields(config):
        value, setting = getattr(config, field.name), f"{name}.{field.name}"
        if is_dataclass(value):
            yield from _sizes(value, setting)
        elif isinstance(value, tuple):
            yield from (_Size(setting, part, 1) for part in value if isinstance(part, int))
        elif isinstance(value, int):
            yield _Size(setting, value, field.default if isinstance(field.default, int) else 1)


def _within_memory(build: Callable[[], M], sizes: Sequence[_Size]) -> M:
    """Build a module, unless the memory of this machine would not hold its weights.

    If the settings leave a doubt, it is first built on PyTorch's "meta" device, which takes no memory.

    Raises:
        ConfigError: If it would not fit. The message names the setting that is furthest above what is usual.
    """
    if math.prod(sorted(size.value for size in sizes)[-3:]) > _ORDINARY:
        try:
            with torch.device("meta"):
                module = build()
            needed = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        except (OverflowError, RuntimeError, TypeError):  # numbers of bytes beyond 64 bits
            needed = 2**63
        if needed > (limit := _memory()):
            worst = max(sizes, key=lambda size: size.value / max(size.usual, 1))
            raise ConfigError(
                f"{worst.setting}: expected settings whose weights fit into the {limit / 1e9:.0f} GB of this machine, "
                f"got some that need {'far more' if needed == 2**63 else f'{needed / 1e9:.0f} GB'}"
            )
    return build()


def _memory() -> int:
    """Return the memory of this machine in bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return _UNKNOWN_MEMORY


def build_shapes(config: Config, conditions: Conditions) -> tuple[Autoencoder, Prior]:
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
