"""Finite scalar quantization, which uses a grid of levels instead of a codebook."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.gradients import straight_through
from voxlex.quantizers.grids import along_channels, as_vectors
from voxlex.types import Codes, GivenCodes, Latents

_MARGIN = 1e-3
"""Relative distance that bounded values reach beyond the outermost levels, so that a finite z can reach these."""

_MOST_LEVELS = 1000
"""With more levels, the margin would exceed half a step, and values would round to levels that do not exist."""

Bound = Literal["tanh", "sigmoid"]
"""The names of the curves that bound a channel, in the quantizer and in recipes."""

_SLOPES: Mapping[str, float] = MappingProxyType({"tanh": 1.0, "sigmoid": 0.8})
"""Slope at 0 of each curve. 2σ(1.6z) − 1 is the same as tanh(0.8z)."""


class FiniteScalarQuantizer(Quantizer):
    """Bounds each channel and rounds it to one of a few levels (FSQ, Mentzer et al., 2309.15505, section 3.1).

    ```
    quantizer = FiniteScalarQuantizer(levels=(8, 5, 5, 5))     # 1,000 codes
    quantized = quantizer(z_e)                                 # z_e: (b, 4, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q))
    ```

    The quantizer has no parameters and no loss, and its codewords cannot die. `z_q` lies in [-1, 1]: level i of L has
    the value (i − ⌊L/2⌋)/⌊L/2⌋. A code is Σ iⱼ·(L₁⋯Lⱼ₋₁), so the first channel varies fastest.

    Args:
        levels: Number of levels L of each channel, from 2 to 1000. The length of this sequence is the length of a
            latent vector, and the product of its elements is the number of codes. The paper advises 5 or more levels,
            and (8, 5, 5, 5) for about 2¹⁰ codes.
        bound: The curve that bounds a channel. `"tanh"` is that of the paper. `"sigmoid"`, 2σ(1.6z) − 1 (iFSQ, Lin et
            al., 2601.17124), spreads standard normal latents almost evenly over the levels. As with tanh, the cells of
            the outermost levels are half as wide.

    Raises:
        ValueError: If `levels` is empty, one of them is out of range, or the bound is unknown.
    """

    recordable = True
    levels: Int64[Tensor, " d"]
    basis: Int64[Tensor, " d"]

    def __init__(self, *, levels: Sequence[int] = (8, 5, 5, 5), bound: Bound = "tanh") -> None:
        if not levels or not all(2 <= count <= _MOST_LEVELS for count in levels) or math.prod(levels) >= 2**63:
            raise ValueError(
                f"levels: expected one number from 2 to {_MOST_LEVELS} for each channel, "
                f"with a product below 2^63, got {tuple(levels)}"
            )
        if bound not in _SLOPES:
            raise ValueError(f"bound: expected one of {sorted(_SLOPES)}, got {bound!r}")
        super().__init__(num_embeddings=math.prod(levels), embedding_dim=len(levels))
        self.bound = bound
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor([1, *levels[:-1]]).cumprod(dim=0), persistent=False)

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. `z_q` has the gradient of the bounded values."""
        self.check_latents(z_e)
        self._usable(as_vectors(z_e))
        bounded = self._bound(z_e)
        indices = self._round(bounded)
        scaled = bounded / along_channels(self.levels // 2, z_e)
        z_q = straight_through(scaled, self._scale(indices)).to(z_e.dtype)
        return Quantized(z_q=z_q, codes=self._join(indices), losses={})

    def encode(self, z_e: Latents) -> Codes:
        """Return the code of the nearest levels for each cell."""
        self.check_latents(z_e)
        return self._join(self._round(self._bound(z_e)))

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the levels in each cell, in float32."""
        codes = self.check_codes(codes)
        return self._scale(codes // along_channels(self.basis, codes) % along_channels(self.levels, codes))

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return all combinations of levels."""
        codes = torch.arange(self.num_embeddings, device=self.levels.device).view(1, 1, -1)
        return self.decode(codes).movedim(1, -1)

    def codeword_norms(self) -> Float[Tensor, "1 k"]:
        """Return the lengths of all combinations of levels, summed up channel by channel."""
        squares = torch.zeros(1, device=self.levels.device)
        for count in self.levels.tolist():
            level = (torch.arange(count, device=self.levels.device) - count // 2) / (count // 2)
            squares = (level.square().unsqueeze(1) + squares).flatten()  # the first channel varies fastest
        return squares.sqrt().unsqueeze(0)

    @property
    def stageable(self) -> bool:
        """False: every stage would bound what is left over. `ResidualFiniteScalarQuantizer` bounds latents once."""
        return False

    def continuous(self, z_e: Latents) -> Latents:
        """Return the bounded values, scaled like `z_q` but not rounded."""
        self.check_latents(z_e)
        return (self._bound(z_e) / along_channels(self.levels // 2, z_e)).to(z_e.dtype)

    def _bound(self, z_e: Latents) -> Float[Tensor, "b d *grid"]:
        """Return tanh(az + s)·h − o in float32, in units of steps (appendix A.1), where a is the slope of the bound.

        An even L has no middle level, so o moves the values by half a step, and s keeps the value of z = 0 at 0. With
        L = 2, the s of the paper would put the threshold between the two levels at z = −3.8, where the gradient
        vanishes. So s is 0 in that case, and also with the sigmoid, where it would make levels on one side rare.
        """
        with torch.autocast(z_e.device.type, enabled=False):
            reach = (self.levels - 1).float() * (1 + _MARGIN) / 2
            offset = (self.levels % 2 == 0) * 0.5
            shift = torch.atanh(offset / reach).where((self.levels > 2) & (self.bound == "tanh"), 0.0)
            curve = torch.tanh(_SLOPES[self.bound] * z_e.float() + along_channels(shift, z_e))
            return curve * along_channels(reach, z_e) - along_channels(offset, z_e)

    def _round(self, bounded: Float[Tensor, "b d *grid"]) -> Int64[Tensor, "b d *grid"]:
        # A latent that is not a number gets the middle level.
        return bounded.detach().nan_to_num(nan=0).round().long() + along_channels(self.levels // 2, bounded)

    def _scale(self, indices: Int64[Tensor, "b d *grid"]) -> Latents:
        half = along_channels(self.levels // 2, indices)
        return (indices - half).float() / half

    def _join(self, indices: Int64[Tensor, "b d *grid"]) -> Codes:
        return (indices * along_channels(self.basis, indices)).sum(dim=1, keepdim=True)
