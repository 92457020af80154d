"""Settings of the quantizers."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from pydantic import Field, Tag

from voxlex.config.settings import Count, NotNegative, Positive, Settings, Share, by_kind

Gradient = Literal["straight_through", "rotation"]


@dataclass(frozen=True, kw_only=True)
class VectorQuantizerConfig(Settings):
    """Vector quantization.

    Attributes:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a codeword.
        codebook: "ema", running means, or "loss", parameters with a loss of their own.
        distance: "euclidean", or "cosine" between unit vectors.
        gradient: How it passes the codeword: "straight_through" or "rotation".
        commitment_cost: Weight β of the commitment loss.
        decay: Of the running averages, per step.
        revival_threshold: A codeword used less than this fraction of the mean is moved to where it is needed.
        start: Where codewords start: "data", at latents of the first batch, or "kmeans", at their clusters.
        entropy_weight: Of the term that rewards sure assignments to many codewords.
        orthogonality_weight: Of the mean squared cosine between codewords; only for codebook "loss".
    """

    kind: Annotated[Literal["vector"], tyro.conf.Suppress] = "vector"
    num_embeddings: Count = 1024
    embedding_dim: Count = 8
    codebook: Literal["ema", "loss"] = "ema"
    distance: Literal["euclidean", "cosine"] = "euclidean"
    gradient: Gradient = "straight_through"
    commitment_cost: NotNegative = 0.25
    decay: Share = 0.99
    revival_threshold: Share = 0.05
    start: Literal["data", "kmeans"] = "data"
    entropy_weight: NotNegative = 0.0
    orthogonality_weight: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class ResidualQuantizerConfig(Settings):
    """Stages that each quantize what is left over by those before.

    Attributes:
        num_codebooks: Stages, q: codes in each cell.
        shared: Whether all stages share one codebook.
        gradient: How it passes the sum of the codewords.
        dropout: Share of training images that stop after a random number of stages.
        stage: What each stage is like.
    """

    kind: Annotated[Literal["residual"], tyro.conf.Suppress] = "residual"
    num_codebooks: Count = 2
    shared: bool = False
    gradient: Gradient = "straight_through"
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    stage: VectorQuantizerConfig = field(default_factory=lambda: VectorQuantizerConfig(num_embeddings=32))

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.stage.embedding_dim


@dataclass(frozen=True, kw_only=True)
class GroupedQuantizerConfig(Settings):
    """A codebook of its own for each group of latent channels.

    Attributes:
        num_codebooks: Groups, q: codes in each cell.
        group: What each group is like; its embedding_dim is its share of the latent.
    """

    kind: Annotated[Literal["grouped"], tyro.conf.Suppress] = "grouped"
    num_codebooks: Count = 2
    group: VectorQuantizerConfig = field(
        default_factory=lambda: VectorQuantizerConfig(num_embeddings=32, embedding_dim=4)
    )

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.num_codebooks * self.group.embedding_dim


@dataclass(frozen=True, kw_only=True)
class FiniteScalarQuantizerConfig(Settings):
    """Each latent channel is rounded to one of a few values.

    Attributes:
        levels: Values of each channel; their product is the number of codewords.
    """

    kind: Annotated[Literal["finite_scalar"], tyro.conf.Suppress] = "finite_scalar"
    levels: tuple[Annotated[int, Field(ge=2)], ...] = (8, 5, 5, 5)

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return len(self.levels)


@dataclass(frozen=True, kw_only=True)
class LookupFreeQuantizerConfig(Settings):
    """Each latent channel is rounded to its sign.

    Attributes:
        num_bits: Latent channels, one bit each.
        spherical: Whether latents are unit vectors: binary spherical quantization.
        entropy_weight: Of the entropy term, in nats per code.
        diversity_weight: How much the use of all codes counts against the certainty of each, in the entropy term.
        commitment_cost: Weight β of the commitment loss.
        temperature: Of the soft assignment in the entropy term.
    """

    kind: Annotated[Literal["lookup_free"], tyro.conf.Suppress] = "lookup_free"
    num_bits: Annotated[int, Field(ge=1, le=24)] = 10
    spherical: bool = False
    entropy_weight: NotNegative = 0.1
    diversity_weight: NotNegative = 1.5
    commitment_cost: NotNegative = 0.25
    temperature: Positive = 0.5

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.num_bits


@dataclass(frozen=True, kw_only=True)
class SimVQConfig(Settings):
    """A frozen codebook under a learned linear map.

    Attributes:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a codeword.
        gradient: How it passes the codeword.
        commitment_cost: Weight β of the commitment loss.
        codebook_cost: Weight of the codebook loss, which moves the map.
    """

    kind: Annotated[Literal["sim_vq"], tyro.conf.Suppress] = "sim_vq"
    num_embeddings: Count = 1024
    embedding_dim: Count = 8
    gradient: Gradient = "straight_through"
    commitment_cost: NotNegative = 0.25
    codebook_cost: NotNegative = 1.0


@dataclass(frozen=True, kw_only=True)
class GumbelQuantizerConfig(Settings):
    """Codewords are sampled, and the sample is relaxed.

    Attributes:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a codeword.
        temperature: Of the relaxed sample, when training begins.
        final_temperature: When training ends.
        kl_weight: Of the divergence from uniform codes, in nats per cell.
        hard: Whether the decoder gets the sampled codeword itself.
    """

    kind: Annotated[Literal["gumbel"], tyro.conf.Suppress] = "gumbel"
    num_embeddings: Count = 1024
    embedding_dim: Count = 8
    temperature: Positive = 1.0
    final_temperature: Positive = 1 / 16
    kl_weight: NotNegative = 5e-4
    hard: bool = False


QuantizerConfig = Annotated[
    Annotated[VectorQuantizerConfig, Tag("vector")]
    | Annotated[ResidualQuantizerConfig, Tag("residual")]
    | Annotated[GroupedQuantizerConfig, Tag("grouped")]
    | Annotated[FiniteScalarQuantizerConfig, Tag("finite_scalar")]
    | Annotated[LookupFreeQuantizerConfig, Tag("lookup_free")]
    | Annotated[SimVQConfig, Tag("sim_vq")]
    | Annotated[GumbelQuantizerConfig, Tag("gumbel")],
    by_kind("vector"),
]
