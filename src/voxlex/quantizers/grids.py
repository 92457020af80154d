"""Conversions between grids of latents and tables of vectors."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxlex.types import Codes, Latents


def as_vectors(latents: Latents) -> Float[Tensor, "n d"]:
    """Return the latents of all cells as rows."""
    return latents.movedim(1, -1).flatten(end_dim=-2)


def as_grid(vectors: Float[Tensor, "n d"], like: Latents) -> Latents:
    """Return rows as a grid of latents with the shape and dtype of another grid."""
    return vectors.view(like.movedim(1, -1).shape).movedim(-1, 1).to(like.dtype)


def look_up(codes: Codes, codewords: Float[Tensor, "k d"]) -> Latents:
    """Return the codeword of each cell, for one code per cell."""
    return F.embedding(codes[:, 0], codewords).movedim(-1, 1)
