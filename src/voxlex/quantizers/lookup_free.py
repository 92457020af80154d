"""Lookup-free quantization, in which a code consists of the signs of a latent vector."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from voxlex.quantizers import processes
from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.gradients import straight_through
from voxlex.quantizers.grids import as_vectors, only_usable
from voxlex.types import Codes, GivenCodes, Latents

_MOST_BITS = 24
"""The entropy of the codes needs the probability of every code, which takes 64 MiB at 24 bits."""


class LookupFreeQuantizer(Quantizer):
    """Takes the sign of each channel (LFQ, Yu et al., 2310.05737, section 3.1; BSQ, Zhao et al., 2406.07548).

    ```
    quantizer = LookupFreeQuantizer(num_bits=10)               # 1,024 codes
    quantized = quantizer(z_e)                                 # z_e: (b, 10, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q)) + quantized.loss
    ```

    The quantizer does not need a codebook. A loss term, E[H(p(c|z))] − γ·H(E[p(c|z)]), makes the signs certain and
    spreads the latents over all codes. The term is exact but never holds the N×2^d probabilities, because the softmax
    p(c|z) over squared distances to the corners of the cube factorizes over bits (see `code_entropies`). The first
    channel is the highest bit of a code.

    Args:
        num_bits: Length of a latent vector, d, at most 24. The number of codes is 2^d.
        spherical: Whether latents are normalized to length 1, with codewords of ±1/√d (BSQ). Otherwise latents are not
            normalized, and codewords are ±1 (LFQ).
        entropy_weight: Weight of the entropy term, in nats per code.
        diversity_weight: Weight γ of the use of all codes, relative to the certainty of each. The papers use 1. That
            value cannot revive a bit that is the same in all vectors, because the gradients of the two terms cancel
            there.
        commitment_cost: Weight β of ‖z − sg[z_q]‖², a mean over all elements.
        temperature: τ of p(c|z) ∝ exp(−‖z − c‖²/τs²), where codewords are ±s. A bit whose latent lies at its codeword
            has the probability σ(4/τ). With the common value of 0.01, the term affects only latents near 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True
    places: Int64[Tensor, " d"]

    def __init__(
        self,
        *,
        num_bits: int = 10,
        spherical: bool = False,
        entropy_weight: float = 0.1,
        diversity_weight: float = 1.5,
        commitment_cost: float = 0.25,
        temperature: float = 0.5,
    ) -> None:
        if not 1 <= num_bits <= _MOST_BITS:
            raise ValueError(f"num_bits: expected 1 to {_MOST_BITS}, got {num_bits}")
        super().__init__(num_embeddings=2**num_bits, embedding_dim=num_bits)
        for name, value in (
            ("entropy_weight", entropy_weight),
            ("diversity_weight", diversity_weight),
            ("commitment_cost", commitment_cost),
        ):
            if value < 0:
                raise ValueError(f"{name}: expected at least 0, got {value}")
        if temperature <= 0:
            raise ValueError(f"temperature: expected more than 0, got {temperature}")
        self.spherical = spherical
        self.entropy_weight = entropy_weight
        self.diversity_weight = diversity_weight
        self.commitment_cost = commitment_cost
        self.temperature = temperature
        self.scale = 1 / math.sqrt(num_bits) if spherical else 1.0
        self.register_buffer("places", torch.arange(num_bits - 1, -1, -1), persistent=False)

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. The gradient passes the signs straight through."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            latents = self._normalize(z_e)
            codes = self._join(latents > 0)
            signs = self._look_up(codes)
            losses = self._losses(latents, signs, self._usable(as_vectors(latents)))
        return Quantized(z_q=straight_through(latents, signs).to(z_e.dtype), codes=codes, losses=losses)

    def encode(self, z_e: Latents) -> Codes:
        """Return the signs of each cell as one integer."""
        self.check_latents(z_e)
        return self._join(self._normalize(z_e) > 0)

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the signs in each cell, in float32."""
        codes = self.check_codes(codes)
        return self._look_up(codes)

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return the corners of the cube."""
        return self._look_up(torch.arange(self.num_embeddings, device=self.places.device).view(1, 1, -1)).movedim(1, -1)

    def codeword_norms(self) -> Float[Tensor, "1 k"]:
        """Return the length that all corners share. A table of the corners would take gigabytes at 24 bits."""
        length = self.scale * math.sqrt(self.embedding_dim)
        return torch.full((1, 1), length, device=self.places.device).expand(1, self.num_embeddings)

    def continuous(self, z_e: Latents) -> Latents:
        """Return latents of length 1 if spherical, else their tanh, which keeps signs and lies between codewords."""
        self.check_latents(z_e)
        latents = self._normalize(z_e)
        return (latents if self.spherical else latents.tanh()).to(z_e.dtype)

    def _normalize(self, z_e: Latents) -> Latents:
        latents = z_e.float()
        if not self.spherical:
            return latents
        # Dividing by the largest coordinate first keeps squares from overflowing, and gradients near 0 stay finite.
        largest = latents.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
        return F.normalize(latents / largest, dim=1, eps=1.0)

    def _join(self, bits: Bool[Tensor, "b d *grid"]) -> Codes:
        return (bits.long() * (1 << self._places(bits))).sum(dim=1, keepdim=True)

    def _look_up(self, codes: Codes) -> Latents:
        # Division by a constant, because ONNX does not shift signed integers.
        return (2 * (codes // (1 << self._places(codes)) % 2) - 1) * self.scale

    def _places(self, grid: Tensor) -> Int64[Tensor, "d *ones"]:
        return self.places.view(-1, *[1] * (grid.ndim - 2))

    def _losses(self, latents: Latents, signs: Latents, usable: Bool[Tensor, " n"] | None) -> dict[str, Tensor]:
        vectors = as_vectors(only_usable(latents, usable, otherwise=signs))
        bit_logits = (4 / self.temperature / self.scale) * vectors
        certainty, diversity = code_entropies(bit_logits, share=self.training)
        return {
            "entropy": self.entropy_weight * (certainty - self.diversity_weight * diversity),
            "commitment": self.commitment_cost * F.mse_loss(latents, signs),
        }


def code_entropies(
    bit_logits: Float[Tensor, "n d"], *, share: bool = False
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the mean entropy of the code distributions, and the entropy of the mean distribution, in nats.

    Every vector has one distribution. Its bits are independent, because each bit decides its own part of the squared
    distance to a corner. So the first entropy is a sum over bits. The mean distribution is one matrix product of the
    joint probabilities of the first and the second half of the bits, N×2^(d/2) each: p(c) = 1/N Σₙ p(a|zₙ)·p(b|zₙ) for
    c = (a, b).

    Args:
        bit_logits: Log odds of each bit.
        share: Whether to average over the vectors of all processes of a distributed run, which must all call this.
    """
    bit_logits = bit_logits.clamp(-80, 80)  # float32 cannot express more certainty
    ones, zeros = bit_logits.sigmoid(), (-bit_logits).sigmoid()
    per_vector = (ones * F.softplus(-bit_logits) + zeros * F.softplus(bit_logits)).sum(dim=1).mean()
    half = bit_logits.shape[1] // 2
    first = _joint(zeros[:, :half], ones[:, :half])
    second = _joint(zeros[:, half:], ones[:, half:])
    mean = first.t() @ second / bit_logits.shape[0]
    mean = processes.mean(mean) if share else mean
    of_mean = -(mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()).sum()
    return per_vector, of_mean


def _joint(zeros: Float[Tensor, "n h"], ones: Float[Tensor, "n h"]) -> Float[Tensor, "n c"]:
    """Return the probability of each combination of independent bits. The first bit is the highest."""
    joint = zeros.new_ones(zeros.shape[0], 1)
    for zero, one in zip(zeros.unbind(dim=1), ones.unbind(dim=1), strict=True):
        joint = (joint.unsqueeze(2) * torch.stack([zero, one], dim=1).unsqueeze(1)).flatten(start_dim=1)
    return joint
