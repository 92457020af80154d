"""Settings of the quantizers; their defaults stand in the constructors."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MaxLen

from voxlex.config.defaults import defaults_of
from voxlex.config.settings import ByKind, Count, Depth, Kind, NotNegative, Part, Positive, Settings, Share

Gradient = Literal["straight_through", "rotation"]
ScalarLevels = Annotated[tuple[Annotated[int, Ge(2)], ...], MaxLen(62)]

_VECTOR = defaults_of("quantizers/vector.py", "VectorQuantizer")
_RESIDUAL = defaults_of("quantizers/residual.py", "ResidualQuantizer")
_FINITE_SCALAR = defaults_of("quantizers/finite_scalar.py", "FiniteScalarQuantizer")
_RESIDUAL_FINITE_SCALAR = defaults_of("quantizers/residual_finite_scalar.py", "ResidualFiniteScalarQuantizer")
_LOOKUP_FREE = defaults_of("quantizers/lookup_free.py", "LookupFreeQuantizer")
_SIM_VQ = defaults_of("quantizers/sim_vq.py", "SimVQ")
_GUMBEL = defaults_of("quantizers/gumbel.py", "GumbelQuantizer")


@dataclass(frozen=True, kw_only=True)
class QuantizerSettings(Settings):
    """What all quantizers have in common.

    Attributes:
        kind: Kind of quantizer: vector, residual, grouped, finite_scalar, residual_finite_scalar, lookup_free, sim_vq
            or gumbel. Another kind than the recipe's starts from its own defaults.
    """

    kind: str


@dataclass(frozen=True, kw_only=True)
class VectorQuantizerConfig(QuantizerSettings):
    """A quantizer that replaces each latent by its nearest codeword.

    Attributes:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a codeword.
        codebook: How codewords learn: "ema" makes them running means of their latents, "loss" makes them parameters
            with a loss of their own.
        distance: Distance by which the nearest codeword is chosen: "euclidean", or "cosine" between unit vectors.
        gradient: How the gradient passes the codeword: "straight_through" copies it, "rotation" turns it with the
            latent, "diveq" divides it between the latent and the codeword, which needs codebook "loss" and no
            commitment_cost.
        commitment_cost: Weight β of the commitment loss, at least 0.
        decay: Decay of the running means per step, from 0 to below 1.
        revival_threshold: A codeword used less than this fraction of the mean use is moved to where it is needed; 0
            moves none.
        start: Where codewords start: "data" at latents of the first batch, "kmeans" at the centres of their clusters.
        entropy_weight: Weight of the term that rewards sure assignments to many codewords; 0 leaves it out.
        orthogonality_weight: Weight of the mean squared cosine between codewords, for codebook "loss" only; 0 leaves it
            out.
        rate_weight: Weight of the bits of a codeword against its squared distance, in mean squared distances a bit.
            Above 0, rare codewords are chosen less often, so that codes take fewer bits.
    """

    kind: Kind[Literal["vector"]] = "vector"
    num_embeddings: Count = _VECTOR.num_embeddings
    embedding_dim: Count = _VECTOR.embedding_dim
    codebook: Literal["ema", "loss"] = _VECTOR.codebook
    distance: Literal["euclidean", "cosine"] = _VECTOR.distance
    gradient: Gradient | Literal["diveq"] = _VECTOR.gradient
    commitment_cost: NotNegative = _VECTOR.commitment_cost
    decay: Share = _VECTOR.decay
    revival_threshold: Share = _VECTOR.revival_threshold
    start: Literal["data", "kmeans"] = _VECTOR.start
    entropy_weight: NotNegative = _VECTOR.entropy_weight
    orthogonality_weight: NotNegative = _VECTOR.orthogonality_weight
    rate_weight: NotNegative = _VECTOR.rate_weight


@dataclass(frozen=True, kw_only=True)
class ResidualQuantizerConfig(QuantizerSettings):
    """Stages that each quantize what the stages before have left over.

    Attributes:
        num_codebooks: Number of stages, q; each cell gets one code from each.
        shared: Let all stages share one codebook.
        gradient: How the gradient passes the sum of the codewords: "straight_through" copies it, "rotation" turns it
            with the latent.
        dropout: Share of the training images that stop after a random number of stages, from 0 to 1.
        stage: The quantizer of each stage.
    """

    kind: Kind[Literal["residual"]] = "residual"
    num_codebooks: Depth = 2
    shared: bool = False
    gradient: Gradient = _RESIDUAL.gradient
    dropout: Part = _RESIDUAL.dropout
    stage: VectorQuantizerConfig = field(default_factory=lambda: VectorQuantizerConfig(num_embeddings=32))

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.stage.embedding_dim


@dataclass(frozen=True, kw_only=True)
class GroupedQuantizerConfig(QuantizerSettings):
    """A quantizer that gives each group of latent channels a codebook of its own.

    Attributes:
        num_codebooks: Number of groups, q; each cell gets one code from each.
        group: The quantizer of each group. Its embedding_dim is the number of channels in the group.
    """

    kind: Kind[Literal["grouped"]] = "grouped"
    num_codebooks: Depth = 2
    group: VectorQuantizerConfig = field(
        default_factory=lambda: VectorQuantizerConfig(num_embeddings=32, embedding_dim=4)
    )

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.num_codebooks * self.group.embedding_dim


@dataclass(frozen=True, kw_only=True)
class FiniteScalarQuantizerConfig(QuantizerSettings):
    """A quantizer that rounds each latent channel to one of a few values.

    Attributes:
        levels: Number of values of each channel, at least 2; their product is the number of codewords.
        bound: Curve that bounds a channel: "tanh", or "sigmoid", which spreads normal latents more evenly (iFSQ).
    """

    kind: Kind[Literal["finite_scalar"]] = "finite_scalar"
    levels: ScalarLevels = _FINITE_SCALAR.levels
    bound: Literal["tanh", "sigmoid"] = _FINITE_SCALAR.bound

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return len(self.levels)


@dataclass(frozen=True, kw_only=True)
class ResidualFiniteScalarQuantizerConfig(QuantizerSettings):
    """A quantizer that rounds each latent channel to one of a few values, and in stages what is left over.

    Attributes:
        levels: Number of values of each channel in each stage, at least 2; their product is the number of codewords.
        num_codebooks: Number of stages, q; each cell gets one code from each.
        dropout: Share of the training images that stop after a random number of stages, from 0 to 1.
    """

    kind: Kind[Literal["residual_finite_scalar"]] = "residual_finite_scalar"
    levels: ScalarLevels = _RESIDUAL_FINITE_SCALAR.levels
    num_codebooks: Depth = _RESIDUAL_FINITE_SCALAR.num_codebooks
    dropout: Part = _RESIDUAL_FINITE_SCALAR.dropout

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return len(self.levels)


@dataclass(frozen=True, kw_only=True)
class LookupFreeQuantizerConfig(QuantizerSettings):
    """A quantizer that rounds each latent channel to its sign.

    Attributes:
        num_bits: Number of latent channels, 1 to 24; each is one bit of the code.
        spherical: Make latents unit vectors first: binary spherical quantization.
        entropy_weight: Weight of the entropy term, in nats per code; 0 leaves it out.
        diversity_weight: Weight, within the entropy term, of the use of all codes against the certainty of each.
        commitment_cost: Weight β of the commitment loss, at least 0.
        temperature: Temperature of the soft assignment in the entropy term, above 0.
    """

    kind: Kind[Literal["lookup_free"]] = "lookup_free"
    num_bits: Annotated[int, Interval(ge=1, le=24)] = _LOOKUP_FREE.num_bits
    spherical: bool = _LOOKUP_FREE.spherical
    entropy_weight: NotNegative = _LOOKUP_FREE.entropy_weight
    diversity_weight: NotNegative = _LOOKUP_FREE.diversity_weight
    commitment_cost: NotNegative = _LOOKUP_FREE.commitment_cost
    temperature: Positive = _LOOKUP_FREE.temperature

    @property
    def embedding_dim(self) -> int:
        """Length of a latent vector."""
        return self.num_bits


@dataclass(frozen=True, kw_only=True)
class SimVQConfig(QuantizerSettings):
    """A frozen codebook under a linear map that is learned.

    Attributes:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a codeword.
        gradient: How the gradient passes the codeword: "straight_through" copies it, "rotation" turns it with the
            latent.
        commitment_cost: Weight β of the commitment loss, at least 0.
        codebook_cost: Weight of the codebook loss, which moves the map, at least 0.
    """

    kind: Kind[Literal["sim_vq"]] = "sim_vq"
    num_embeddings: Count = _SIM_VQ.num_embeddings
    embedding_dim: Count = _SIM_VQ.embedding_dim
    gradient: Gradient = _SIM_VQ.gradient
    commitment_cost: NotNegative = _SIM_VQ.commitment_cost
    codebook_cost: NotNegative = _SIM_VQ.codebook_cost


@dataclass(frozen=True, kw_only=True)
class GumbelQuantizerConfig(QuantizerSettings):
    """A quantizer that samples codewords and relaxes the sample.

    Attributes:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a codeword.
        temperature: Temperature of the relaxed sample when training begins, above 0.
        final_temperature: Temperature of the relaxed sample when training ends, above 0.
        kl_weight: Weight of the divergence from uniform codes, in nats per cell; 0 leaves it out.
        hard: Give the decoder the sampled codeword itself instead of the relaxed sample.
    """

    kind: Kind[Literal["gumbel"]] = "gumbel"
    num_embeddings: Count = _GUMBEL.num_embeddings
    embedding_dim: Count = _GUMBEL.embedding_dim
    temperature: Positive = _GUMBEL.temperature
    final_temperature: Positive = _GUMBEL.final_temperature
    kl_weight: NotNegative = _GUMBEL.kl_weight
    hard: bool = _GUMBEL.hard


QuantizerConfig = Annotated[
    VectorQuantizerConfig
    | ResidualQuantizerConfig
    | GroupedQuantizerConfig
    | FiniteScalarQuantizerConfig
    | ResidualFiniteScalarQuantizerConfig
    | LookupFreeQuantizerConfig
    | SimVQConfig
    | GumbelQuantizerConfig,
    ByKind("vector"),
]
