"""Conversions between grids of latents and tables of vectors."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from voxlex.types import Codes, Latents


def as_vectors(latents: Latents) -> Float[Tensor, "n d"]:
    """Return the latents of all cells as rows."""
    return latents.movedim(1, -1).flatten(end_dim=-2)


def as_grid(vectors: Float[Tensor, "n d"], like: Latents) -> Latents:
    """Return rows as a grid of latents with the shape and dtype of another grid."""
    return vectors.view(like.movedim(1, -1).shape).movedim(-1, 1).to(like.dtype)


def along_channels(per_channel: Shaped[Tensor, " d"], latents: Shaped[Tensor, "b _ *grid"]) -> Tensor:
    """Reshape a vector so that it broadcasts along the channels of latents."""
    return per_channel.view(-1, *[1] * (latents.ndim - 2))


def look_up(codes: Codes, codewords: Float[Tensor, "k d"]) -> Latents:
    """Return the codeword of each cell, for one code per cell."""
    return F.embedding(codes[:, 0], codewords).movedim(-1, 1)


def only_usable(latents: Latents, usable: Bool[Tensor, " n"] | None, *, otherwise: Latents) -> Latents:
    """Return latents in which those that a codebook does not learn from are replaced, without a gradient.

    If their codewords take their place, their error is 0, and loss terms stay means over all cells.

    Args:
        latents: The latents of a training step.
        usable: Whether to learn from the latent of each cell; None for all.
        otherwise: What takes the place of the others.
    """
    if usable is None:
        return latents
    return torch.where(on_grid(usable, latents), latents, otherwise.detach())


def on_grid(flags: Bool[Tensor, " n"], latents: Latents) -> Bool[Tensor, "b 1 *grid"]:
    """Return one flag for each cell on the grid of the latents."""
    return flags.view(latents.shape[0], 1, *latents.shape[2:])
