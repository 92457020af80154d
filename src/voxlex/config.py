"""Every setting and its default, once; recipes and the command line change them.

Plain frozen dataclasses, so that this file imports nothing heavy. Modules never see them: they take keyword arguments,
and `assembly.py` hands them over.
"""

from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from voxlex.data.options import PhantomOptions
from voxlex.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Strict:
    """Misspelt keys are errors, and so are values of another type."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Strict):
    """What images are made into before training.

    Attributes:
        size: Side of the square canvas in pixels.
        phantom: What the embedded data set is like; only for the source "phantom".
    """

    size: Annotated[Count, tyro.conf.arg(aliases=("--size",))] = 128
    phantom: PhantomOptions = field(default_factory=PhantomOptions)


@dataclass(frozen=True, kw_only=True)
class ResidualNetworkConfig(_Strict):
    """A linear trunk of convolutions, and residual blocks on the code grid.

    Attributes:
        downsampling: Side of the patch that one code stands for; a power of two.
        width: Channels on the code grid.
        stem_width: Channels at half the resolution of the image.
        encoder_blocks: Residual blocks of the encoder.
        decoder_blocks: Residual blocks of the decoder.
        expansion: Channels inside a block, in multiples of the width.
    """

    kind: Annotated[Literal["residual"], tyro.conf.Suppress] = "residual"
    downsampling: Count = 4
    width: Count = 128
    stem_width: Count = 32
    encoder_blocks: Count = 2
    decoder_blocks: Count = 4
    expansion: Count = 2


@dataclass(frozen=True, kw_only=True)
class PaperNetworkConfig(_Strict):
    """Strided convolutions and residual blocks, as in the paper.

    Attributes:
        downsampling: Side of the patch that one code stands for; a power of two.
        width: Channels.
        blocks: Residual blocks, of the encoder and of the decoder.
        block_width: Channels inside a residual block.
    """

    kind: Annotated[Literal["paper"], tyro.conf.Suppress] = "paper"
    downsampling: Count = 4
    width: Count = 256
    blocks: Count = 2
    block_width: Count = 256


@dataclass(frozen=True, kw_only=True)
class VectorQuantizerConfig(_Strict):
    """Vector quantisation.

    Attributes:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a codeword.
        codebook: "ema", running means, or "loss", parameters with a loss of their own.
        commitment_cost: Weight β of the commitment loss.
        decay: Of the running averages, per step.
        revival_threshold: A codeword used less than this fraction of the mean is moved to where it is needed.
    """

    kind: Annotated[Literal["vector"], tyro.conf.Suppress] = "vector"
    num_embeddings: Count = 1024
    embedding_dim: Count = 8
    codebook: Literal["ema", "loss"] = "ema"
    commitment_cost: NotNegative = 0.25
    decay: Share = 0.99
    revival_threshold: Share = 0.05


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Strict):
    """The autoencoder.

    Attributes:
        in_channels: Channels of the images.
        spatial_dims: 2 for images.
        network: Encoder and decoder.
        quantizer: What turns latents into codes.
    """

    in_channels: Count = 1
    spatial_dims: Literal[2, 3] = 2
    network: ResidualNetworkConfig | PaperNetworkConfig = field(default_factory=ResidualNetworkConfig)
    quantizer: VectorQuantizerConfig = field(default_factory=VectorQuantizerConfig)


@dataclass(frozen=True, kw_only=True)
class LossesConfig(_Strict):
    """Weights of the reconstruction terms; 0 leaves a term out.

    Attributes:
        l1: Mean absolute error.
        l2: Mean squared error.
        charbonnier: L1 with a smooth tip.
        ssim: 1 − SSIM.
    """

    l1: NotNegative = 1.0
    l2: NotNegative = 0.0
    charbonnier: NotNegative = 0.0
    ssim: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(_Strict):
    """A gated PixelCNN over the code grid.

    Attributes:
        condition: Manifest column whose values the prior can be asked for; where a data set has none, it is not used.
        width: Channels of each stack.
        layers: Gated layers.
        kernel_size: Side of their kernels, odd.
        embedding_dim: Length of the vectors that stand for codes at its input.
        dropout: Share of features dropped in training.
        condition_dropout: Share of training images whose condition is hidden, so that it may be left open.
    """

    kind: Annotated[Literal["pixelcnn"], tyro.conf.Suppress] = "pixelcnn"
    condition: Literal["label"] | None = "label"
    width: Count = 64
    layers: Count = 6
    kernel_size: Count = 3
    embedding_dim: Count = 64
    dropout: Share = 0.0
    condition_dropout: Share = 0.1


@dataclass(frozen=True, kw_only=True)
class StageConfig(_Strict):
    """How one stage is optimised.

    Attributes:
        batch_size: Images in a step, on each device.
        learning_rate: Its peak, in AdamW.
        weight_decay: On kernels and matrices.
        betas: Decays of AdamW's averages.
        warmup: Share of the budget in which the learning rate rises; it falls along a cosine after that.
        gradient_clip: Largest norm of the gradient.
        validations: How often to validate.
    """

    batch_size: Count = 4
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.99)
    warmup: Share = 0.03
    gradient_clip: Positive = 1.0
    validations: Count = 10


@dataclass(frozen=True, kw_only=True)
class AutoencoderStageConfig(StageConfig):
    """How the first stage is optimised.

    Attributes:
        continuous_share: Share of the budget, at its start, in which latents are not quantised yet.
    """

    continuous_share: Share = 0.2


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(_Strict):
    """How long, where and how to train.

    Attributes:
        minutes: Budget of the run; both stages share it.
        steps: Budget of each stage in steps; instead of minutes.
        prior_share: Share of the minutes that the prior gets, if both stages are trained.
        seed: Of weights, order of images, and splits.
        accelerator: Kind of device: auto, cpu, gpu, mps.
        devices: Number of devices.
        precision: Of arithmetic; "auto" takes bfloat16 where the hardware is made for it.
        autoencoder: The first stage.
        prior: The second stage.
    """

    minutes: Positive | None = 10.0
    steps: Count | None = None
    prior_share: Share = 0.4
    seed: Annotated[int, tyro.conf.arg(aliases=("--seed",))] = 0
    accelerator: Annotated[str, tyro.conf.arg(aliases=("--accelerator",))] = "auto"
    devices: Annotated[Count, tyro.conf.arg(aliases=("--devices",))] = 1
    precision: Annotated[Literal["auto", "32-true", "bf16-mixed"], tyro.conf.arg(aliases=("--precision",))] = "auto"
    autoencoder: AutoencoderStageConfig = field(default_factory=AutoencoderStageConfig)
    prior: StageConfig = field(
        default_factory=lambda: StageConfig(batch_size=8, learning_rate=6e-3, weight_decay=0.0, betas=(0.9, 0.95))
    )


@dataclass(frozen=True, kw_only=True)
class Config(_Strict):
    """A complete experiment; `config.yaml` in a run folder, and what recipes are made of."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    losses: LossesConfig = field(default_factory=LossesConfig)
    prior: PixelCNNConfig = field(default_factory=PixelCNNConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def parse_config(content: Any, *, where: str) -> Config:
    """Turn the content of a YAML file into a configuration; what it leaves out takes its default.

    Raises:
        ConfigError: If a key is unknown, or a value of the wrong type or out of range; names `where` and the key.
    """
    try:
        return TypeAdapter(Config).validate_python({} if content is None else content)
    except ValidationError as cause:
        problem = cause.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the whole"
        raise ConfigError(f"{where}: {key}: {problem['msg']}, got {problem['input']!r}") from cause


def read_config(path: Path) -> Config:
    """Read a configuration from a YAML file.

    Raises:
        ConfigError: If the file cannot be read or is not a valid configuration.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(cause).split())}") from cause
    return parse_config(content, where=str(path))


def dump_config(config: Config) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with voxlex."""
    return sorted(
        Path(entry.name).stem for entry in resources.files("voxlex.recipes").iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name: str) -> Config:
    """Read a recipe by its name, or from a YAML file by its path.

    Raises:
        ConfigError: If there is no such recipe, or it is not valid.
    """
    if name in recipe_names():
        with resources.as_file(resources.files("voxlex.recipes") / f"{name}.yaml") as path:
            return read_config(path)
    if not Path(name).is_file():
        raise ConfigError(f"recipe {name!r}: no such file, and not one of {', '.join(recipe_names())}")
    return read_config(Path(name))


def with_budget(config: Config, *, minutes: float | None, steps: int | None) -> Config:
    """Return the configuration with another budget, if one is given.

    Raises:
        ConfigError: If both are given.
    """
    if minutes is not None and steps is not None:
        raise ConfigError("give either --minutes or --steps, not both")
    if minutes is None and steps is None:
        return config
    return replace(config, training=replace(config.training, minutes=minutes, steps=steps))


def _plain(value: Any) -> Any:
    """Turn tuples into lists, which YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
