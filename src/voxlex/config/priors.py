"""Settings of the priors; their defaults stand in the constructors."""

from dataclasses import dataclass
from typing import Annotated, Literal

from voxlex.config.defaults import defaults_of
from voxlex.config.settings import ByKind, Count, Depth, Kernel, Kind, Settings, Share

_PIXELCNN = defaults_of("priors/pixelcnn.py", "GatedPixelCNN")
_TRANSFORMER = defaults_of("priors/transformer.py", "TransformerPrior")
_MASKED = defaults_of("priors/masked.py", "MaskedPrior")


@dataclass(frozen=True, kw_only=True)
class PriorSettings(Settings):
    """What all priors have in common.

    Attributes:
        kind: Kind of prior: pixelcnn, transformer or masked. Another kind than the recipe's starts from its own
            defaults.
        condition_columns: Columns of the manifest, of names or of numbers, that samples can be asked for. A column
            without any value is left out.
        dropout: Dropout rate of each layer in training, from 0 to below 1.
        condition_dropout: Share of the training images for which one condition is hidden, from 0 to below 1, so that it
            may be left open when sampling.
    """

    kind: str
    condition_columns: tuple[str, ...] = ("label",)
    dropout: Share
    condition_dropout: Share


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(PriorSettings):
    """A gated PixelCNN over the code grid.

    Attributes:
        width: Number of channels of each stack.
        layers: Number of gated layers.
        kernel_size: Side of the kernels, odd.
        embedding_dim: Length of the vectors that stand for codes at the input.
    """

    kind: Kind[Literal["pixelcnn"]] = "pixelcnn"
    width: Count = _PIXELCNN.width
    layers: Depth = _PIXELCNN.layers
    kernel_size: Kernel = _PIXELCNN.kernel_size
    embedding_dim: Count = _PIXELCNN.embedding_dim
    dropout: Share = _PIXELCNN.dropout
    condition_dropout: Share = _PIXELCNN.condition_dropout


@dataclass(frozen=True, kw_only=True)
class TransformerPriorConfig(PriorSettings):
    """An autoregressive transformer over segments of rows.

    Attributes:
        width: Number of channels, a multiple of heads.
        layers: Number of transformer blocks.
        heads: Number of attention heads.
        kernel_size: Side of the square of neighbours that each cell is shown, odd; cells that come later are hidden.
        embedding_dim: Length of the vectors that stand for codes at the input.
        grouped: Choose a code in two steps, a group of codewords and then one of the group. It keeps the cost of large
            codebooks low.
    """

    kind: Kind[Literal["transformer"]] = "transformer"
    width: Count = _TRANSFORMER.width
    layers: Depth = _TRANSFORMER.layers
    heads: Count = _TRANSFORMER.heads
    kernel_size: Kernel = _TRANSFORMER.kernel_size
    embedding_dim: Count = _TRANSFORMER.embedding_dim
    grouped: bool = _TRANSFORMER.grouped
    dropout: Share = _TRANSFORMER.dropout
    condition_dropout: Share = _TRANSFORMER.condition_dropout


@dataclass(frozen=True, kw_only=True)
class MaskedPriorConfig(PriorSettings):
    """A masked transformer, which draws many codes at once, in a few steps.

    Attributes:
        width: Number of channels, a multiple of heads.
        layers: Number of transformer blocks.
        heads: Number of attention heads.
        kernel_size: Side of the convolution that shows each cell its neighbours, odd.
        steps: Number of steps in which a sample is drawn.
        order: Cells that a step draws: confidence, those that the prior is most certain of, or halton, fixed ones that
            are spread evenly, which makes the likelihood exact.
    """

    kind: Kind[Literal["masked"]] = "masked"
    width: Count = _MASKED.width
    layers: Depth = _MASKED.layers
    heads: Count = _MASKED.heads
    kernel_size: Kernel = _MASKED.kernel_size
    steps: Count = _MASKED.steps
    order: Literal["confidence", "halton"] = _MASKED.order
    dropout: Share = _MASKED.dropout
    condition_dropout: Share = _MASKED.condition_dropout


PriorConfig = Annotated[
    PixelCNNConfig | TransformerPriorConfig | MaskedPriorConfig,
    ByKind("transformer"),
]
