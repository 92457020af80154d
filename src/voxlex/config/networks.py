"""Settings of the encoder and the decoder; their defaults stand in the constructors.

A setting goes to both, unless its name begins with `encoder_` or `decoder_`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from annotated_types import Interval, Len

from voxlex.config.defaults import defaults_of
from voxlex.config.settings import ByKind, Count, Depth, Kind, Settings

_ENCODER = defaults_of("models/autoencoder.py", "Encoder")
_DECODER = defaults_of("models/autoencoder.py", "Decoder")
_PAPER = defaults_of("models/paper.py", "PaperEncoder")
_MONAI = defaults_of("models/monai.py", "MonaiEncoder")
_MONAI_DECODER = defaults_of("models/monai.py", "MonaiDecoder")

Activation = Literal["relu", "leaky_relu", "silu", "gelu", "elu"]
Output = Literal["none", "relu", "sigmoid", "tanh"]
Padding = Annotated[int, Interval(ge=0, le=127)]
T = TypeVar("T")
Small = Annotated[int, Interval(ge=1, le=15)]
PerLevel = Annotated[tuple[T, ...], Len(1, 16)]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """What all networks have in common.

    Attributes:
        kind: Kind of network: residual, paper or monai. Another kind than the recipe's starts from its own defaults.
        downsampling: Side in pixels of the patch that one code stands for; a power of two.
        width: Number of channels on the code grid.
    """

    kind: str
    downsampling: Count
    width: Count


@dataclass(frozen=True, kw_only=True)
class ResidualNetworkConfig(NetworkSettings):
    """A linear trunk of convolutions, with residual blocks on the code grid.

    Attributes:
        stem_width: Number of channels at half the resolution of the image.
        encoder_blocks: Number of residual blocks in the encoder.
        decoder_blocks: Number of residual blocks in the decoder.
        expansion: Number of channels inside a block, in multiples of width.
    """

    kind: Kind[Literal["residual"]] = "residual"
    downsampling: Count = _ENCODER.downsampling
    width: Count = _ENCODER.width
    stem_width: Count = _ENCODER.stem_width
    encoder_blocks: Depth = _ENCODER.blocks
    decoder_blocks: Depth = _DECODER.blocks
    expansion: Count = _ENCODER.expansion


@dataclass(frozen=True, kw_only=True)
class PaperNetworkConfig(NetworkSettings):
    """Strided convolutions and residual blocks, as in the paper.

    Attributes:
        blocks: Number of residual blocks in the encoder, and in the decoder.
        block_width: Number of channels inside a residual block.
    """

    kind: Kind[Literal["paper"]] = "paper"
    downsampling: Count = _PAPER.downsampling
    width: Count = _PAPER.width
    blocks: Depth = _PAPER.blocks
    block_width: Count = _PAPER.block_width


@dataclass(frozen=True, kw_only=True)
class MonaiNetworkConfig(NetworkSettings):
    """The network of MONAI's VQVAE, of whose checkpoints `voxlex convert` makes runs.

    Attributes:
        channels: Number of channels of each level; the last is width.
        unit_widths: Number of channels inside the residual units of each level.
        units: Number of residual units of each level.
        encoder_convolutions: Stride, side of the kernel, dilation and padding of each level. The product of all strides
            is downsampling.
        decoder_convolutions: The same and the output padding of each transposed convolution, from the code grid on.
        activation: Activation between convolutions.
        decoder_output: Activation of the image.
    """

    kind: Kind[Literal["monai"]] = "monai"
    downsampling: Count = _MONAI.downsampling
    width: Count = _MONAI.width
    channels: PerLevel[Count] = _MONAI.channels
    unit_widths: PerLevel[Count] = _MONAI.unit_widths
    units: Annotated[int, Interval(ge=0, le=100)] = _MONAI.units
    encoder_convolutions: PerLevel[tuple[Small, Small, Small, Padding]] = _MONAI.convolutions
    decoder_convolutions: PerLevel[tuple[Small, Small, Small, Padding, Padding]] = _MONAI_DECODER.convolutions
    activation: Activation = _MONAI.activation
    decoder_output: Output = _MONAI_DECODER.output


NetworkConfig = Annotated[ResidualNetworkConfig | PaperNetworkConfig | MonaiNetworkConfig, ByKind("residual")]
