"""A small quantizer of every kind, for latents of four dimensions."""

from collections.abc import Callable

from voxlex.quantizers import (
    FiniteScalarQuantizer,
    GroupedQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    ResidualFiniteScalarQuantizer,
    ResidualQuantizer,
    SimVQ,
    VectorQuantizer,
)


def vector(**changes: object) -> VectorQuantizer:
    return VectorQuantizer(**({"num_embeddings": 32, "embedding_dim": 4} | changes))


KINDS: dict[str, Callable[[], Quantizer]] = {
    "vector": vector,
    "vector, k-means, rotation": lambda: vector(start="kmeans", gradient="rotation"),
    "vector, cosine": lambda: vector(distance="cosine"),
    "vector, loss": lambda: vector(codebook="loss", entropy_weight=0.1, orthogonality_weight=0.1),
    "vector, loss, cosine": lambda: vector(codebook="loss", distance="cosine", gradient="rotation"),
    "vector, DiVeQ": lambda: vector(codebook="loss", gradient="diveq", commitment_cost=0.0),
    "residual": lambda: ResidualQuantizer(stages=[vector(), vector()], dropout=0.5),
    "residual, shared": lambda: ResidualQuantizer(stages=[vector()], num_codebooks=3, gradient="rotation"),
    "grouped": lambda: GroupedQuantizer(groups=[vector(embedding_dim=2), vector(embedding_dim=2, distance="cosine")]),
    "finite scalar": lambda: FiniteScalarQuantizer(levels=(4, 3, 5, 2)),
    "finite scalar, sigmoid": lambda: FiniteScalarQuantizer(levels=(4, 3, 5, 2), bound="sigmoid"),
    "residual finite scalar": lambda: ResidualFiniteScalarQuantizer(levels=(3, 2, 4, 2), num_codebooks=3, dropout=0.5),
    "lookup free": lambda: LookupFreeQuantizer(num_bits=4),
    "lookup free, spherical": lambda: LookupFreeQuantizer(num_bits=4, spherical=True),
    "SimVQ": lambda: SimVQ(num_embeddings=32, embedding_dim=4),
    "SimVQ, rotation": lambda: SimVQ(num_embeddings=32, embedding_dim=4, gradient="rotation"),
    "Gumbel": lambda: GumbelQuantizer(num_embeddings=32, embedding_dim=4),
    "Gumbel, hard": lambda: GumbelQuantizer(num_embeddings=32, embedding_dim=4, hard=True),
}
