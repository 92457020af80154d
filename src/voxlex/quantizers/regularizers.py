"""Loss terms that keep the codewords of a codebook in use and apart from one another."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from voxlex.quantizers import processes

_TILE_ELEMENTS = 2**20


def entropy_loss(
    vectors: Float[Tensor, "n d"], codewords: Float[Tensor, "k d"], variance: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return 2σ²(E[H(p(k|x))] − H(E[p(k|x)])).

    The loss is low if each vector has a clear codeword and all codewords are in use. The difference of the entropies is
    the negative mutual information of vectors and codewords (Yu et al., 2310.05737, equation 4). p is the posterior of
    a Gaussian mixture whose means are the codewords, p ∝ exp(−‖x − e‖²/2σ²), so that no temperature needs tuning. The
    factor 2σ² gives the loss the units of the commitment loss, as in a free energy, so that one weight suits latents of
    any scale. The N×K posterior is never held as a whole. It is computed one tile at a time, and again for the
    gradient.

    Args:
        vectors: The latents, with gradient.
        codewords: The codebook, with gradient if it learns by the loss.
        variance: σ² of each element, the mean squared error of the quantizer.
    """
    rows = max(_TILE_ELEMENTS // len(codewords), 1)
    temperature = 2 * processes.mean(variance.detach()).clamp(min=1e-12)
    summed = codewords.new_zeros(len(codewords))
    uncertainty = codewords.new_zeros(())
    for tile in vectors.split(rows):
        probabilities, entropies = checkpoint(_posterior_sums, tile, codewords, temperature, use_reentrant=False)
        summed = summed + probabilities
        uncertainty = uncertainty + entropies
    marginal = processes.mean(summed / len(vectors))
    floored = marginal.clamp(min=torch.finfo(marginal.dtype).tiny)  # the slope of x log x at 0 is infinite
    return temperature * (uncertainty / len(vectors) + (marginal * floored.log()).sum())


def orthogonality_loss(codewords: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    """Return the mean squared cosine between different codewords, ‖ÊÊᵀ − I‖²/K² (Shin et al., 2112.00384, equation 3).

    The K×K matrix is never computed. The rows of Ê are unit vectors, so ‖ÊÊᵀ − I‖² = ‖ÊᵀÊ‖² − K, and ÊᵀÊ is d×d.
    """
    unit = F.normalize(codewords, dim=1)
    return ((unit.t() @ unit).square().sum() - len(unit)) / len(unit) ** 2


def _posterior_sums(vectors: Tensor, codewords: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Return the posteriors `(k,)` and their entropies, both summed over the vectors."""
    # ‖x‖² is the same for every codeword, so the softmax does not depend on it.
    scores = torch.addmm(-codewords.square().sum(dim=1), vectors, codewords.t(), alpha=2) / temperature
    log_probabilities = scores.log_softmax(dim=1)
    probabilities = log_probabilities.exp()
    return probabilities.sum(dim=0), -(probabilities * log_probabilities).sum()
