"""Log-probabilities of codes from features, without ever holding the logits of all of them."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 1024
"""Codes scored at a time: with K = 1024 codes their float32 logits are 4 MiB, about what a core keeps in its cache."""


def chunked_log_probs(head: nn.Module, features: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Log-probability of each code under the softmax of `head(features)`, in nats and float32 or better.

    The logits of a batch are by far its largest tensor (32 images of 32×32 codes of 1024 kinds: 128 MiB, several
    times over with gradients). They are made a chunk at a time, and made again for the gradient.
    """
    score = _score if not torch.is_grad_enabled() else _recomputed_score
    pieces = zip(features.split(CHUNK), codes.split(CHUNK), strict=True)
    return torch.cat([score(head, feature, code) for feature, code in pieces])


def _score(head: nn.Module, features: Tensor, codes: Tensor) -> Tensor:
    logits = head(features)
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -nn.functional.cross_entropy(precise, codes, reduction="none")


def _recomputed_score(head: nn.Module, features: Tensor, codes: Tensor) -> Tensor:
    return checkpoint(_score, head, features, codes, use_reentrant=False)
