"""Make a run of a checkpoint of MONAI's `VQVAE`."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from voxlex.assembly import build_autoencoder
from voxlex.config import Config, DataConfig, ModelConfig, validated
from voxlex.config.consistency import check_consistent
from voxlex.config.networks import Activation, MonaiNetworkConfig, Output
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.errors import ConfigError, DataError, naming
from voxlex.files import atomic_folder, write_json
from voxlex.models import VQVAE
from voxlex.models.monai_checkpoint import Shapes, load_into, read_checkpoint, shapes_of
from voxlex.models.weights import save_weights
from voxlex.run_folder import AUTOENCODER, FORMAT_VERSION, RunFolder, versions


def convert(
    checkpoint: Path,
    *,
    out: Path,
    size: int = DataConfig.size,
    spacing_mm: float | None = None,
    downsample: Sequence[Sequence[int]] = (),
    upsample: Sequence[Sequence[int]] = (),
    activation: Activation = "relu",
    output: Output = "none",
) -> RunFolder:
    """Make a run of a checkpoint of MONAI's `VQVAE`, with its autoencoder and without a prior.

    The run encodes and decodes as MONAI's model does. What the weights do not tell is given here.

    Args:
        checkpoint: A state dict that `torch.save` wrote, or a file of safetensors. Nothing but weights is loaded.
        out: Run folder to create.
        size: Side of the images in pixels, or of the cubes in voxels.
        spacing_mm: Distance between the voxels of a cube; needed for a model of volumes.
        downsample: MONAI's `downsample_parameters`: stride, kernel, dilation and padding of each level, or of all. By
            default, every level halves the grid.
        upsample: MONAI's `upsample_parameters`, which also have an output padding.
        activation: MONAI's `act`.
        output: MONAI's `output_act`.

    Raises:
        ConfigError: If the settings do not fit the weights or each other.
        DataError: If the checkpoint cannot be used, or the folder exists or cannot be written.
    """
    weights = read_checkpoint(checkpoint)
    with naming(checkpoint):
        shapes = shapes_of(weights)
        if shapes.in_channels != 1:
            raise DataError(f"expected a model of images with one channel, got one with {shapes.in_channels}")
        if shapes.spatial_dims == 3 and spacing_mm is None:
            raise ConfigError("is a model of volumes: expected the distance between voxels, --spacing-mm, got none")
        model = _model(shapes, downsample=downsample, upsample=upsample, activation=activation, output=output)
        config = validated(Config(data=DataConfig(size=size, spacing_mm=spacing_mm), model=model))
        check_consistent(config)
        try:
            autoencoder = build_autoencoder(config.model)
        except ValueError as cause:
            raise ConfigError(str(cause)) from cause
        assert isinstance(autoencoder, VQVAE)
        load_into(autoencoder, weights)
    _write(autoencoder, config, out)
    return RunFolder(out)


def _model(
    shapes: Shapes,
    *,
    downsample: Sequence[Sequence[int]],
    upsample: Sequence[Sequence[int]],
    activation: Activation,
    output: Output,
) -> ModelConfig:
    """Return the settings of the model, from what its weights tell and what is given."""
    down = _levels(downsample, shapes.encoder_kernels, name="downsample", numbers=4)
    up = _levels(upsample, shapes.decoder_kernels, name="upsample", numbers=5)
    network = MonaiNetworkConfig(
        downsampling=prod(stride for stride, *_ in down),
        width=shapes.channels[-1],
        channels=shapes.channels,
        unit_widths=shapes.unit_widths,
        units=shapes.units,
        encoder_convolutions=down,
        decoder_convolutions=up,
        activation=activation,
        decoder_output=output,
    )
    quantizer = VectorQuantizerConfig(num_embeddings=shapes.num_embeddings, embedding_dim=shapes.embedding_dim)
    return ModelConfig(spatial_dims=shapes.spatial_dims, network=network, quantizer=quantizer)


def _write(autoencoder: VQVAE, config: Config, out: Path) -> None:
    about = {"voxlex": versions()["voxlex"], "stage": AUTOENCODER}
    stage = {"steps": 0, "minutes": 0.0, "parameters": sum(weights.numel() for weights in autoencoder.parameters())}
    metadata = {
        "format_version": FORMAT_VERSION,
        "versions": versions(),
        "stages": {AUTOENCODER: {**stage, "converted_from": "MONAI VQVAE"}},
    }
    with atomic_folder(out, last=RunFolder(out).config_file.name) as building:
        run = RunFolder(building)
        save_weights(run.autoencoder_file, autoencoder, about=about)
        write_json(run.metadata_file, metadata)
        run.write_config(config)


def _levels(given: Sequence[Sequence[int]], kernels: Sequence[int], *, name: str, numbers: int) -> tuple[Any, ...]:
    """Return the numbers of the convolution of each level: those that are given, or such that the grid is halved."""
    if not given:
        return tuple(_halving(kernel, transposed=numbers == 5) for kernel in kernels)
    levels = tuple(map(tuple, given)) * (len(kernels) if len(given) == 1 else 1)
    if len(levels) != len(kernels) or {len(level) for level in levels} != {numbers}:
        got = " ".join(str(number) for level in given for number in level)
        raise ConfigError(f"{name}: expected {numbers} numbers for each of {len(kernels)} levels, got {got}")
    return levels


def _halving(kernel: int, *, transposed: bool) -> tuple[int, ...]:
    padding = (kernel - 1) // 2
    return (2, kernel, 1, padding, *((kernel % 2,) if transposed else ()))
