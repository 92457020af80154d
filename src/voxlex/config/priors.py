"""Settings of the priors."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from voxlex.config.settings import Count, Settings, Share


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(Settings):
    """A gated PixelCNN over the code grid.

    Attributes:
        condition_columns: Of the manifest, of names or of numbers, that the prior can be asked for; one without any
            value is not used.
        width: Channels of each stack.
        layers: Gated layers.
        kernel_size: Side of their kernels, odd.
        embedding_dim: Length of the vectors that stand for codes at its input.
        dropout: Share of features dropped in training.
        condition_dropout: Share of training images of which a condition is hidden, so that it may be left open.
    """

    kind: Annotated[Literal["pixelcnn"], tyro.conf.Suppress] = "pixelcnn"
    condition_columns: tuple[str, ...] = ("label",)
    width: Count = 64
    layers: Count = 6
    kernel_size: Count = 3
    embedding_dim: Count = 64
    dropout: Share = 0.0
    condition_dropout: Share = 0.1
