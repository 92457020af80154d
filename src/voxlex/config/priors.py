"""Settings of the priors."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from pydantic import Tag

from voxlex.config.settings import Count, Settings, Share, by_kind


@dataclass(frozen=True, kw_only=True)
class PriorSettings(Settings):
    """What every prior has.

    Attributes:
        condition_columns: Of the manifest, of names or of numbers, that the prior can be asked for; one without any
            value is not used.
        dropout: Share of what each layer adds that is dropped in training.
        condition_dropout: Share of training images of which a condition is hidden, so that it may be left open.
    """

    condition_columns: tuple[str, ...] = ("label",)
    dropout: Share = 0.0
    condition_dropout: Share = 0.1


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(PriorSettings):
    """A gated PixelCNN over the code grid.

    Attributes:
        width: Channels of each stack.
        layers: Gated layers.
        kernel_size: Side of their kernels, odd.
        embedding_dim: Length of the vectors that stand for codes at its input.
    """

    kind: Annotated[Literal["pixelcnn"], tyro.conf.Suppress] = "pixelcnn"
    width: Count = 64
    layers: Count = 6
    kernel_size: Count = 3
    embedding_dim: Count = 64


@dataclass(frozen=True, kw_only=True)
class TransformerPriorConfig(PriorSettings):
    """An autoregressive transformer over segments of rows.

    Attributes:
        width: Channels of the transformer, a multiple of the heads.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the square of neighbours, of which the earlier half is seen; odd.
        embedding_dim: Length of the vectors that stand for codes at its input.
    """

    kind: Annotated[Literal["transformer"], tyro.conf.Suppress] = "transformer"
    width: Count = 128
    layers: Count = 4
    heads: Count = 2
    kernel_size: Count = 7
    embedding_dim: Count = 32


@dataclass(frozen=True, kw_only=True)
class MaskedPriorConfig(PriorSettings):
    """A masked transformer that draws many codes at once, in a few steps.

    Attributes:
        width: Channels of the transformer, a multiple of the heads.
        layers: Transformer blocks.
        heads: Heads of their attention.
        kernel_size: Side of the convolution that shows each cell its neighbours, odd.
        steps: In which a sample is drawn.
    """

    kind: Annotated[Literal["masked"], tyro.conf.Suppress] = "masked"
    width: Count = 128
    layers: Count = 4
    heads: Count = 2
    kernel_size: Count = 5
    steps: Count = 12


PriorConfig = Annotated[
    Annotated[PixelCNNConfig, Tag("pixelcnn")]
    | Annotated[TransformerPriorConfig, Tag("transformer")]
    | Annotated[MaskedPriorConfig, Tag("masked")],
    by_kind("transformer"),
]
