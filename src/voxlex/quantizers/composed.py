"""Helpers for quantizers that are made of other quantizers."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from voxlex.quantizers.base import Quantizer


def check_alike(parts: Sequence[Quantizer]) -> None:
    """Raise ValueError unless at least one part is given, and all have one codebook and the same K and d."""
    shapes = {(part.num_embeddings, part.embedding_dim, part.num_codebooks) for part in parts}
    if len(shapes) != 1 or next(iter(shapes))[2] != 1:
        raise ValueError(
            "expected quantizers of one codebook each and of the same num_embeddings and embedding_dim, "
            f"got (num_embeddings, embedding_dim, num_codebooks) {sorted(shapes)}"
        )


def check_stageable(parts: Sequence[Quantizer], *, name: str) -> None:
    """Raise ValueError unless all can quantize what others have left over."""
    for part in parts:
        if not part.stageable:
            raise ValueError(
                f"{name}: expected quantizers that take latents as they are and learn without the gradient of z_q "
                f"(unlike gradient='diveq'), got {type(part).__name__}"
            )


def quantizers(modules: nn.ModuleList) -> list[Quantizer]:
    """Return the modules of a list, typed as quantizers."""
    return [cast(Quantizer, module) for module in modules]


def mean_losses(losses: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each named loss term over the parts that have it."""
    names = dict.fromkeys(name for part in losses for name in part)
    return {name: torch.stack([part[name] for part in losses if name in part]).mean() for name in names}


def kept_stages(n: int, depth: int, dropout: float, device: torch.device) -> Bool[Tensor, "n depth"]:
    """Return which of `depth` stages each of n examples keeps.

    A share of them, `dropout`, keeps a random number of the first stages, from 1 to all. The others keep all.
    """
    depths = torch.randint(1, depth + 1, (n,), device=device)
    depths = depths.where(torch.rand(n, device=device) < dropout, depth)
    return torch.arange(depth, device=device) < depths.unsqueeze(1)
