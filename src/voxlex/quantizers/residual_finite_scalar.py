"""Residual finite scalar quantization, in which each code refines the grid of the codes before it."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from voxlex.errors import CodesError
from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.composed import kept_stages
from voxlex.quantizers.gradients import straight_through
from voxlex.quantizers.grids import along_channels, as_vectors
from voxlex.types import Codes, GivenCodes, Latents, checked_codes

_FINEST = 2**20
"""Most levels of a channel in all stages together. Near its ends, the levels of a finer grid would merge in float32."""


class ResidualFiniteScalarQuantizer(Quantizer):
    """Rounds each channel to a few levels, then what is left over to as many levels on a smaller scale, and so on.

    ```
    quantizer = ResidualFiniteScalarQuantizer(levels=(5, 5, 5, 5), num_codebooks=3)
    quantized = quantizer(z_e)                 # z_e: (b, 4, *grid); codes: (b, 3, *grid)
    coarse = quantizer.decode(quantized.codes[:, :2])
    ```

    This is residual quantization (Zeghidour et al., 2107.03312) with the stages of FSQ (Mentzer et al., 2309.15505).
    Stage i, counted from 0, has the levels L⁻ⁱ·(2k − (L − 1))/(L − 1), where k goes from 0 to L − 1. A channel is
    bounded once, before the first stage, as B·tanh(z/B) with B = L/(L − 1). What a stage leaves over then has exactly
    the range of the next stage. So q stages together are one uniform grid of L^q levels, and the codes of a channel are
    the digits of its place in this grid, in base L.

    The quantizer has no parameters and no loss, and its codewords cannot die. The gradient passes the sum once, to the
    bounded values.

    Args:
        levels: Number of levels L of each channel in each stage, at least 2. The length of this sequence is the length
            of a latent vector, and the product of its elements is the number of codes of a stage.
        num_codebooks: Number of stages, q, from 1 to 20. L^q is at most 2²⁰.
        dropout: Share of training examples that stop after a random number of stages, so that the first codes can also
            be decoded alone (SoundStream, section III-C).

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True
    levels: Int64[Tensor, " d"]
    basis: Int64[Tensor, " d"]

    def __init__(self, *, levels: Sequence[int] = (4, 4, 2), num_codebooks: int = 2, dropout: float = 0.0) -> None:
        if not 1 <= num_codebooks <= math.log2(_FINEST):
            raise ValueError(f"num_codebooks: expected from 1 to {math.log2(_FINEST):.0f}, got {num_codebooks}")
        most = int(_FINEST ** (1 / num_codebooks) + 1e-9)
        if not levels or not all(2 <= count <= most for count in levels) or math.prod(levels) >= 2**63:
            raise ValueError(
                f"levels: expected one number from 2 to {most} for each channel, with a product below 2^63, "
                f"got {tuple(levels)}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout: expected a share from 0 to 1, got {dropout}")
        super().__init__(num_embeddings=math.prod(levels), embedding_dim=len(levels), num_codebooks=num_codebooks)
        self.dropout = dropout
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor([1, *levels[:-1]]).cumprod(dim=0), persistent=False)

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. `z_q` has the gradient of the bounded values."""
        self.check_latents(z_e)
        self._usable(as_vectors(z_e))
        bounded = self._bound(z_e)
        digits = self._round(bounded)
        dropping = self.training and self.dropout
        kept = kept_stages(len(z_e), self.num_codebooks, self.dropout, z_e.device) if dropping else None
        z_q = straight_through(bounded, self._sum(digits, kept)).to(z_e.dtype)
        return Quantized(z_q=z_q, codes=self._join(digits), losses={})

    def encode(self, z_e: Latents) -> Codes:
        """Return the codes of all stages."""
        self.check_latents(z_e)
        return self._join(self._round(self._bound(z_e)))

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the sum of the levels in float32, of the first stages only if cells hold fewer codes."""
        if codes.ndim < 3 or not 1 <= codes.shape[1] <= self.num_codebooks:
            expected = f"(b, 1 to {self.num_codebooks}, *grid)"
            raise CodesError(f"codes: expected shape {expected}, got {tuple(codes.shape)}")
        codes = checked_codes(codes, num_embeddings=self.num_embeddings, shape=codes.shape[1:2])
        return self._sum(self._split(codes))

    def codewords(self) -> Float[Tensor, "q k d"]:
        """Return all combinations of levels of each stage."""
        codes = torch.arange(self.num_embeddings, device=self.levels.device).view(1, 1, -1)
        stages = self._values(self._split(codes.expand(1, self.num_codebooks, -1)))
        return stages.squeeze(0).movedim(1, -1)

    @property
    def stageable(self) -> bool:
        """False: it would bound what is left over."""
        return False

    def continuous(self, z_e: Latents) -> Latents:
        """Return the bounded values, which are not rounded."""
        self.check_latents(z_e)
        return self._bound(z_e).to(z_e.dtype)

    def _bound(self, z_e: Latents) -> Float[Tensor, "b d *grid"]:
        with torch.autocast(z_e.device.type, enabled=False):
            reach = along_channels(self.levels / (self.levels - 1), z_e)
            return reach * torch.tanh(z_e.float() / reach)

    def _round(self, bounded: Float[Tensor, "b d *grid"]) -> Int64[Tensor, "b q d *grid"]:
        """Return the level of each channel in each stage: the digits of its cell in the finest grid."""
        levels = along_channels(self.levels, bounded)
        finest = levels**self.num_codebooks
        share = bounded.detach() * ((levels - 1) / levels) / 2 + 0.5
        # A latent that is not a number gets the middle of the grid.
        cell = (share.nan_to_num(nan=0.5) * finest).long().clamp(min=0).minimum(finest - 1)
        return torch.stack([cell // levels**place % levels for place in reversed(range(self.num_codebooks))], dim=1)

    def _values(self, digits: Int64[Tensor, "b n d *grid"]) -> Float[Tensor, "b n d *grid"]:
        """Return the value of each level on the scale of its stage."""
        levels = along_channels(self.levels, digits[:, 0])
        scales = torch.stack([levels.float() ** -stage for stage in range(digits.shape[1])])
        return (2 * digits - (levels - 1)) / (levels - 1) * scales

    def _sum(self, digits: Int64[Tensor, "b n d *grid"], kept: Bool[Tensor, "b n"] | None = None) -> Latents:
        values = self._values(digits)
        if kept is not None:
            values = values * kept.view(*kept.shape, *[1] * (values.ndim - 2))
        return values.sum(dim=1)

    def _join(self, digits: Int64[Tensor, "b n d *grid"]) -> Codes:
        return (digits * along_channels(self.basis, digits[:, 0])).sum(dim=2)

    def _split(self, codes: Codes) -> Int64[Tensor, "b n d *grid"]:
        levels, basis = along_channels(self.levels, codes), along_channels(self.basis, codes)
        return codes.unsqueeze(2) // basis % levels
