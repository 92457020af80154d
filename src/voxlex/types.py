"""Types of the tensors in voxlex, and the check of codes. In the tests, jaxtyping checks the shapes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from voxlex.errors import CodesError

Image = Float[Tensor, "b c *space"]
"""An image tensor: float32, values in [0, 1], two or three spatial dimensions."""

Latents = Float[Tensor, "b d *grid"]
"""Latent vectors of size `d`, one in each cell of the grid, before (`z_e`) or after (`z_q`) quantization."""

Codes = Int64[Tensor, "b q *grid"]
"""Codeword indices; `q` is the number of codebooks in each cell (1 for plain vector quantization)."""

GivenCodes = Shaped[Tensor, "b q *grid"]
"""Codes as callers may pass them to a module: any type of whole numbers."""

LevelCodes = Int64[Tensor, "b _ ..."]
"""Codes of one of several levels, `(b, q, *grid)`; each level has a number of codebooks and a grid of its own."""

Levels = tuple[LevelCodes, ...]
"""Codes of a model with codes at several scales, coarsest first."""

GivenLevels = tuple[Shaped[Tensor, "b _ ..."], ...]
"""Codes of several levels as callers may pass them to a module, coarsest first."""

CodesLike = np.ndarray | Tensor | Sequence[Any]
"""Codes as callers may pass them: an array, a tensor or nested lists for a single level, or a sequence of these."""

Logits = Float[Tensor, "b k q *grid"]
"""Unnormalised log-probabilities of the `k` possible codes of each codebook in each cell."""


def checked_codes(codes: Tensor, *, num_embeddings: int, shape: Sequence[int], name: str = "codes") -> Codes:
    """Return codes as int64.

    Args:
        codes: Codes `(b, q, *grid)` of any type of whole numbers.
        num_embeddings: Number of codewords K; codes lie in [0, K).
        shape: `(q, *grid)`, or only `(q,)` if codes may lie on any grid.
        name: What an error calls the codes.

    Raises:
        CodesError: If the shape, the type or a value is another one, or there are no codes.
    """
    given, expected = tuple(codes.shape[1:]), tuple(shape)
    any_grid = len(expected) == 1
    if (given[:1] != expected or len(given) < 2) if any_grid else given != expected:
        wanted = ", ".join(map(str, ("b", *expected))) + (", *grid" if any_grid else "")
        raise CodesError(f"{name}: expected shape ({wanted}), got {tuple(codes.shape)}")
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise CodesError(f"{name}: expected whole numbers such as int64, got {codes.dtype}")
    codes = codes.long()
    if torch.compiler.is_compiling() or (codes.is_cuda and torch.cuda.is_current_stream_capturing()):
        return codes  # a compiled, exported or recorded graph cannot branch on values
    if not codes.numel():
        raise CodesError(f"{name}: expected the codes of at least one image, got shape {tuple(codes.shape)}")
    low, high = (int(extreme) for extreme in codes.aminmax())
    if low < 0 or high >= num_embeddings:
        raise CodesError(f"{name}: expected values from 0 to {num_embeddings - 1}, got {low if low < 0 else high}")
    return codes
