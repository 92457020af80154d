"""Where the training of a prior begins: from what is known before it."""

import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.priors.depth import DepthHead
from voxlex.priors.embedding import CodeEmbedding
from voxlex.types import Codes


def start_at_marginals(
    codes: Codes, codebook: Float[Tensor, "q k d"] | None, *, embedding: CodeEmbedding, head: DepthHead
) -> None:
    """Make the output the empirical marginals, and let codes with like vectors begin alike.

    The codebooks' standardised vectors, turned at random, become the embeddings and, small, the rows of the output
    layers; training moves both on. The turns are drawn from torch's own generator, as initial weights are.

    Raises:
        ValueError: The codebook has not one vector for each code.
    """
    q, k = embedding.weight.shape[:2]
    if codebook is not None and codebook.shape[:2] != (q, k):
        raise ValueError(f"expected a codebook (q, k, d) = ({q}, {k}, d), got {tuple(codebook.shape)}")
    head.start(torch.stack([torch.bincount(chosen.flatten(), minlength=k) for chosen in codes.unbind(dim=1)]), codebook)
    if codebook is not None:
        embedding.start(codebook)
