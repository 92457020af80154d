"""Types of the tensors in voxlex. In the tests, jaxtyping checks their shapes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

Image = Float[Tensor, "b c *space"]
"""An image tensor: float32, values in [0, 1], two or three spatial dimensions."""

Latents = Float[Tensor, "b d *grid"]
"""Latent vectors of size `d`, one in each cell of the grid, before (`z_e`) or after (`z_q`) quantization."""

Codes = Int64[Tensor, "b q *grid"]
"""Codeword indices; `q` is the number of codebooks in each cell (1 for plain vector quantization)."""

LevelCodes = Int64[Tensor, "b _ ..."]
"""Codes of one of several levels, `(b, q, *grid)`; each level has a number of codebooks and a grid of its own."""

Levels = tuple[LevelCodes, ...]
"""Codes of a model with codes at several scales, coarsest first."""

CodesLike = np.ndarray | Tensor | Sequence[np.ndarray | Tensor]
"""Codes as callers may pass them: one array or tensor for a single level, or a sequence of them for several levels."""

Logits = Float[Tensor, "b k q *grid"]
"""Unnormalised log-probabilities of the `k` possible codes of each codebook in each cell."""
