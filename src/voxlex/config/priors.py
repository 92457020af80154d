"""Settings of the priors."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from voxlex.config.settings import Count, Settings, Share


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(Settings):
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
