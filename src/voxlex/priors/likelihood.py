"""Log-probabilities of codes from features, without ever holding the logits of all of them."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK = 1024
"""Codes scored at a time: with K = 1024 their float32 logits are 4 MiB, about what a core keeps in its cache."""

Head = Callable[[Tensor], Tensor]
"""From features `(n, d)` to logits `(n, k)`."""


def chunked_log_probs(head: Head, features: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Log-probability of each code under the softmax of `head(features)`, in nats and at least float32.

    The logits of a batch are by far its largest tensor: 128 MiB for 32 images of 32×32 codes with K = 1024, and several
    times that with gradients. They are made a chunk at a time, and made again for the gradient.
    """
    pieces = zip(features.split(CHUNK), codes.split(CHUNK), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([_log_probs(head, *piece) for piece in pieces])
    return torch.cat([_recomputed(head, *piece) for piece in pieces])


def _log_probs(head: Head, features: Tensor, codes: Tensor) -> Tensor:
    logits = head(features)
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -functional.cross_entropy(precise, codes, reduction="none")


def _recomputed(head: Head, features: Tensor, codes: Tensor) -> Tensor:
    return checkpoint(_log_probs, head, features, codes, use_reentrant=False, preserve_rng_state=False)
