"""The settings of a complete experiment."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from voxlex.config.levels import LevelsConfig, MultiScaleConfig, SingleLevelConfig
from voxlex.config.networks import NetworkConfig, ResidualNetworkConfig
from voxlex.config.options import PhantomOptions, ReadingOptions, SliceOptions
from voxlex.config.priors import PriorConfig, TransformerPriorConfig
from voxlex.config.quantizers import QuantizerConfig, VectorQuantizerConfig
from voxlex.config.settings import Count, Positive, Settings, unfit
from voxlex.config.training import LossesConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """How images are prepared for training.

    Attributes:
        size: Side of the square images in pixels, or of the cubes in voxels; a multiple of the network's downsampling.
        spacing_mm: Distance in mm between the voxels of a cube; needed with spatial_dims 3, and only allowed there.
        reading: What to read of files that leave a choice, and what to assume where they say nothing.
        slices: Slices of volumes to make images of, with spatial_dims 2.
        phantom: The embedded data set, used only for the source "phantom".
    """

    size: Annotated[int, Interval(ge=1, le=2**16), tyro.conf.arg(aliases=("--size",))] = 128
    spacing_mm: Positive | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    slices: SliceOptions = field(default_factory=SliceOptions)
    phantom: PhantomOptions = field(default_factory=PhantomOptions)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """The autoencoder.

    Attributes:
        in_channels: Number of channels of the images; prepared images have one.
        spatial_dims: Number of spatial axes: 2 for images, 3 for volumes.
        network: The encoder and the decoder.
        quantizer: The quantizer, which turns latents into codes; with several levels, that of the finest.
        levels: The grids of the codes: one, or several from coarse to fine.
    """

    in_channels: Count = 1
    spatial_dims: Literal[2, 3] = 2
    network: NetworkConfig = field(default_factory=ResidualNetworkConfig)
    quantizer: QuantizerConfig = field(
        default_factory=lambda: VectorQuantizerConfig(num_embeddings=8192, rate_weight=0.15)
    )
    levels: LevelsConfig = field(default_factory=SingleLevelConfig)

    def check(self) -> None:
        """Raise an error if the quantizers of several scales have codewords of different lengths."""
        coarse = self.levels.coarse.embedding_dim if isinstance(self.levels, MultiScaleConfig) else None
        if coarse not in (None, self.quantizer.embedding_dim):
            expected = f"{self.quantizer.embedding_dim}, the length of a latent of model.quantizer"
            raise unfit("levels.coarse.embedding_dim", expected=expected, got=coarse)

    @property
    def multiple_of(self) -> int:
        """Number of pixels or voxels that divides the sides of all images."""
        return self.network.downsampling * self.levels.coarsest


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """A complete experiment, as `config.yaml` in a run folder states it and as recipes change it."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    losses: LossesConfig = field(default_factory=LossesConfig)
    prior: PriorConfig = field(default_factory=TransformerPriorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
