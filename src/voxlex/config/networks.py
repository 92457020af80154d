"""Settings of the encoder and the decoder; their defaults stand in the constructors.

A setting goes to both, unless its name begins with `encoder_` or `decoder_`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from voxlex.config.defaults import defaults_of
from voxlex.config.settings import ByKind, Count, Depth, Kind, Settings

_ENCODER = defaults_of("models/autoencoder.py", "Encoder")
_DECODER = defaults_of("models/autoencoder.py", "Decoder")
_PAPER = defaults_of("models/paper.py", "PaperEncoder")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """What all networks have in common.

    Attributes:
        kind: Kind of network: residual or paper. Another kind than the recipe's starts from its own defaults.
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


NetworkConfig = Annotated[ResidualNetworkConfig | PaperNetworkConfig, ByKind("residual")]
