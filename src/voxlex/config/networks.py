"""Settings of the encoder and decoder."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from pydantic import Tag

from voxlex.config.settings import Count, Settings, by_kind


@dataclass(frozen=True, kw_only=True)
class ResidualNetworkConfig(Settings):
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
class PaperNetworkConfig(Settings):
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


NetworkConfig = Annotated[
    Annotated[ResidualNetworkConfig, Tag("residual")] | Annotated[PaperNetworkConfig, Tag("paper")],
    by_kind("residual"),
]
