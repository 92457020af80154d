"""`voxlex convert`: make a run of a checkpoint of MONAI's VQVAE."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import name_of, place, say
from voxlex.config import DataConfig
from voxlex.config.networks import Activation, Output
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.errors import ConfigError

_DOWN = tyro.conf.arg(metavar="S K D P ...", help_behavior_hint="(default: each level halves the grid)")
_UP = tyro.conf.arg(metavar="S K D P O ...", help_behavior_hint="(default: each level doubles the grid)")


@dataclass(kw_only=True)
class Convert:
    """Make a run of a checkpoint of MONAI's VQVAE. The run encodes and decodes as MONAI's model does.

    Nothing but weights is loaded from the checkpoint. Its images must have values from 0 to 1 and one channel. Train a
    prior with `voxlex train SOURCE --out RUN --stage prior`.

    Attributes:
        checkpoint: A state dict that torch.save wrote, or a file of safetensors.
        out: Run folder to create.
        size: Side of the images in pixels, or of the cubes in voxels.
        spacing_mm: Distance in mm between the voxels of a cube; needed for a model of volumes.
        downsample: MONAI's downsample_parameters: stride, kernel, dilation and padding of each level one after the
            other, or once for all levels.
        upsample: MONAI's upsample_parameters, which also have an output padding.
        activation: MONAI's act.
        output: MONAI's output_act.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    out: Annotated[Path | None, place("runs/CHECKPOINT")] = None
    size: int = DataConfig.size
    spacing_mm: Annotated[float | None, tyro.conf.arg(metavar="MM")] = None
    downsample: Annotated[tuple[int, ...], _DOWN] = ()
    upsample: Annotated[tuple[int, ...], _UP] = ()
    activation: Activation = "relu"
    output: Output = "none"

    def run(self) -> None:
        """Make the run."""
        from voxlex.workflows.convert import convert

        run = convert(
            self.checkpoint,
            out=self.out or Path("runs") / Path(name_of(self.checkpoint)).stem,
            size=self.size,
            spacing_mm=self.spacing_mm,
            downsample=_levels(self.downsample, 4, name="--downsample"),
            upsample=_levels(self.upsample, 5, name="--upsample"),
            activation=self.activation,
            output=self.output,
        )
        model = run.config().model
        assert isinstance(model.quantizer, VectorQuantizerConfig)
        codes = f"{model.quantizer.num_embeddings} codewords of length {model.quantizer.embedding_dim}"
        side = "×".join([str(model.network.downsampling)] * model.spatial_dims)
        say(f"{run.path}  {codes}, one for each patch of {side}")


def _levels(numbers: tuple[int, ...], each: int, *, name: str) -> list[tuple[int, ...]]:
    if len(numbers) % each:
        raise ConfigError(f"{name}: expected {each} numbers for each level, got {len(numbers)} in all")
    return [numbers[start : start + each] for start in range(0, len(numbers), each)]
