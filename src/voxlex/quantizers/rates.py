"""The bits of codewords, for a quantizer that weighs them against its error."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxlex.quantizers import processes
from voxlex.quantizers.precision import PreciseBuffers

_MOST_BITS = 16.0
"""Bits of a codeword that is hardly ever used. Without a bound, it could never be used again."""


class CodewordRates(PreciseBuffers):
    """What each codeword costs beside its distance, learned from how often it is used.

    An entropy coder spends −log₂ p_k bits on a codeword of probability p_k. Entropy-constrained vector quantization
    (Chou, Lookabaugh, Gray, IEEE Trans. ASSP 37, 1989) therefore chooses the codeword with the smallest

        ‖x − e_k‖² + λ σ² (−log₂ p_k)

    where σ² is the mean squared distance of vectors from their codewords, a running mean here. So λ does not depend on
    the scale of the vectors.

    Args:
        num_embeddings: Number of codewords, K.
        weight: The weight λ of a bit.
        decay: Decay of the running mean per training step.

    Attributes:
        penalty: What is added to the squared distance of each codeword.
        share: Factor on the weight, from 0 to 1, with which a training begins gently; `anneal` sets it.
    """

    penalty: Tensor
    distortion: Tensor

    def __init__(self, *, num_embeddings: int, weight: float, decay: float) -> None:
        super().__init__()
        self.weight = weight
        self.decay = decay
        self.share = torch.tensor(1.0)
        self.register_buffer("penalty", torch.zeros(num_embeddings))
        self.register_buffer("distortion", torch.tensor(0.0))

    def anneal(self, share: float) -> None:
        """Set `share`. It is a tensor on the device, because recorded work would keep a number as it was."""
        self.share = self.share.to(self.penalty.device).fill_(share)

    @torch.no_grad()
    def learn(
        self, squares: Float[Tensor, " n"], uses: Float[Tensor, " k"], usable: Bool[Tensor, " n"] | None = None
    ) -> None:
        """Learn from one training step.

        Args:
            squares: Squared distances of the vectors of the step from their codewords.
            uses: How often a step uses each codeword; see `Codebook.uses`.
            usable: The vectors to learn from; None for all.
        """
        usable = torch.ones_like(squares, dtype=torch.bool) if usable is None else usable
        found = processes.total(torch.stack([squares.where(usable, 0).sum(), usable.sum().to(squares)]))
        distortion = (found[0] / found[1].clamp(min=1)).to(self.distortion)
        begun = self.distortion > 0
        self.distortion.copy_(torch.where(begun, self.distortion.lerp(distortion, 1 - self.decay), distortion))
        bits = -(uses / uses.sum()).log2().clamp(min=-_MOST_BITS)
        self.penalty.copy_(self.share.to(bits.device) * self.weight * self.distortion * bits)
