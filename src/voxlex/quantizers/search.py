"""Nearest codeword search, exact, without the N×K distance matrix in memory."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_TILE_ELEMENTS = 2**19
"""Scores held at a time: 2 MiB of float32, which stays in a core's cache."""

_GROUP = 64
"""Columns whose maximum is taken first; a row maximum vectorises, an argmax does not."""


@torch.no_grad()
def nearest(vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Int64[Tensor, " n"]:
    """Return the index of the codeword at the smallest Euclidean distance from each vector.

    `argmin ‖x − e‖² = argmax (x·e − ½‖e‖²)`, computed in float32 under any autocast. Ties go to the lowest index.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, codebook = vectors.float(), codebook.float()
        bias = -0.5 * codebook.square().sum(dim=1)
        rows = max(_TILE_ELEMENTS // len(codebook), 1)
        tiles = [_first_argmax(torch.addmm(bias, tile, codebook.t())) for tile in vectors.split(rows)]
        return torch.cat(tiles) if tiles else torch.empty(0, dtype=torch.int64, device=vectors.device)


def _first_argmax(scores: Float[Tensor, "n k"]) -> Int64[Tensor, " n"]:
    """Return each row's first position of its maximum: the best group of columns, then the best column in it."""
    n, k = scores.shape
    if k % _GROUP:
        return scores.argmax(dim=1)
    groups = scores.view(n, k // _GROUP, _GROUP)
    best_group = groups.amax(dim=2).argmax(dim=1)
    columns = groups.gather(1, best_group.view(n, 1, 1).expand(n, 1, _GROUP)).squeeze(1)
    return best_group * _GROUP + columns.argmax(dim=1)
