"""The settings of a complete experiment."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from voxlex.config.networks import NetworkConfig, ResidualNetworkConfig
from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.config.priors import PriorConfig, TransformerPriorConfig
from voxlex.config.quantizers import QuantizerConfig, VectorQuantizerConfig
from voxlex.config.settings import Count, Positive, Settings
from voxlex.config.training import LossesConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """What images are made into before training.

    Attributes:
        size: Side of the square canvas in pixels, or of the cube in voxels.
        spacing_mm: Distance between the voxels of a cube; with spatial_dims 3 only.
        slices: Which slices of volumes images are made of; with spatial_dims 2 only.
        phantom: What the embedded data set is like; only for the source "phantom".
    """

    size: Annotated[Count, tyro.conf.arg(aliases=("--size",))] = 128
    spacing_mm: Positive | None = None
    slices: SliceOptions = field(default_factory=SliceOptions)
    phantom: PhantomOptions = field(default_factory=PhantomOptions)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """The autoencoder.

    Attributes:
        in_channels: Channels of the images.
        spatial_dims: 2 for images, 3 for volumes.
        network: Encoder and decoder.
        quantizer: What turns latents into codes.
    """

    in_channels: Count = 1
    spatial_dims: Literal[2, 3] = 2
    network: NetworkConfig = field(default_factory=ResidualNetworkConfig)
    quantizer: QuantizerConfig = field(default_factory=VectorQuantizerConfig)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """A complete experiment; `config.yaml` in a run folder, and what recipes are made of."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    losses: LossesConfig = field(default_factory=LossesConfig)
    prior: PriorConfig = field(default_factory=TransformerPriorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
