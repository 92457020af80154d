"""The contract of every quantizer: it takes latents, and returns quantized latents and codes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxlex.quantizers.outliers import Outliers
from voxlex.quantizers.precision import PreciseBuffers
from voxlex.types import Codes, GivenCodes, Latents, checked_codes


class Quantized(NamedTuple):
    """The result of quantizing a batch of latents.

    Attributes:
        z_q: The quantized latents. Gradients reach the encoder through them.
        codes: For each cell, the index of the codeword chosen from each codebook.
        losses: The weighted loss terms by name. Each is a mean, so it does not depend on the batch size.
    """

    z_q: Latents
    codes: Codes
    losses: Mapping[str, Float[Tensor, ""]]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The sum of the loss terms, ready to be added to a reconstruction loss."""
        return sum(self.losses.values(), start=self.z_q.new_zeros((), dtype=torch.float32))


class Quantizer(PreciseBuffers, ABC):
    """Base class of all quantizers, for any number of spatial dimensions.

    In eval mode, `forward` changes no state, and `decode(forward(z_e).codes)` equals `forward(z_e).z_q` exactly.

    A quantizer of any floating-point type computes in float32, and returns latents of the type of its input. Its
    running statistics are float32, or float64 after `.double()`.

    Latents that are not finite, or far longer than the codewords, get codes like all others. But nothing learns from
    them, except that the commitment loss shows them to the encoder: it is not finite if they are not. So skip the step
    of the optimizer if the gradient is not finite.

    Args:
        num_embeddings: Number of codewords in each codebook, K.
        embedding_dim: Length of a latent vector, d.
        num_codebooks: Number of codes in each cell, q.

    Attributes:
        more_to_come: Whether other forward passes belong to the same training step; see `expect_more`.
        remedy: What the user can try when the data uses only a few codewords.
        recordable: Whether the work of a training step never depends on numbers that are on the device, so that a CUDA
            graph can record it.
    """

    recordable: bool = False
    more_to_come: bool = False
    remedy = "a lower learning rate, a larger batch or fewer codewords"

    def __init__(self, *, num_embeddings: int, embedding_dim: int, num_codebooks: int = 1) -> None:
        super().__init__()
        for name, value in (
            ("num_embeddings", num_embeddings),
            ("embedding_dim", embedding_dim),
            ("num_codebooks", num_codebooks),
        ):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.num_codebooks = num_codebooks
        self.outliers = Outliers()

    @property
    def left_out(self) -> int:
        """Number of latents of training steps that no codebook learned from, since this object was made."""
        found = (getattr(module, "outliers", None) for module in self.modules())
        return sum(outliers.left_out for outliers in found if isinstance(outliers, Outliers))

    @abstractmethod
    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. In training mode, the codebook also learns from them."""

    @abstractmethod
    def encode(self, z_e: Latents) -> Codes:
        """Return the codes of latents, without changing any state in either mode."""

    @abstractmethod
    def decode(self, codes: GivenCodes) -> Latents:
        """Return the latents that codes of any type of whole numbers stand for.

        Raises:
            CodesError: If a code lies outside `[0, num_embeddings)`, or a cell does not hold `num_codebooks` codes.
        """

    @abstractmethod
    def codewords(self) -> Float[Tensor, "q k v"]:
        """Return the vectors that the codes of each codebook stand for, in float32."""

    def codeword_norms(self) -> Float[Tensor, "q k"]:
        """Return the lengths of `codewords()`.

        A quantizer whose codewords follow a rule computes the lengths without a table of all codewords.
        """
        return self.codewords().norm(dim=2)

    @property
    def equal_use(self) -> bool:
        """Whether the quantizer aims at using its codewords equally often."""
        return True

    @property
    def stageable(self) -> bool:
        """Whether the quantizer can be a stage of a `ResidualQuantizer`.

        It subtracts the codewords of its stages from latents, and does not pass them the gradient of z_q.
        """
        return True

    def continuous(self, z_e: Latents) -> Latents:
        """Return what the decoder would receive without rounding.

        The result is differentiable and has the same bounds as `z_q`. An encoder and a decoder that first train on it
        already know the range of the quantized latents when rounding begins.
        """
        self.check_latents(z_e)
        return z_e

    def anneal(self, progress: float) -> None:
        """Follow a schedule over training, if the quantizer has one.

        Args:
            progress: Share of the training that is complete, from 0 to 1.
        """

    def expect_more(self, more: bool) -> None:
        """Set whether further forward passes belong to the same training step.

        Codebooks then learn from all of them together in the last one, as from one larger batch. What else a quantizer
        computes of a batch as a whole, such as an entropy, it computes in each pass. A codebook starts at the first.
        """
        for part in self.modules():
            if isinstance(part, Quantizer):
                part.more_to_come = more

    def _usable(
        self, vectors: Float[Tensor, "n d"], codewords: Float[Tensor, "k v"] | None = None
    ) -> Bool[Tensor, " n"] | None:
        """Return from which vectors of a training step to learn; None for all, and outside training."""
        return self.outliers.usable(vectors, codewords) if self.training else None

    def check_latents(self, z_e: Tensor) -> None:
        """Raise ValueError unless `z_e` is `(b, embedding_dim, *grid)`, of a floating-point type and not empty."""
        if z_e.ndim < 3 or z_e.shape[1] != self.embedding_dim:
            raise ValueError(f"latents: expected shape (b, {self.embedding_dim}, *grid), got {tuple(z_e.shape)}")
        if not z_e.is_floating_point():
            raise ValueError(f"latents: expected a floating-point type, got {z_e.dtype}")
        if not torch.compiler.is_compiling() and not z_e.numel():
            raise ValueError(f"latents: expected at least one image and one cell, got {tuple(z_e.shape)}")

    def check_codes(self, codes: Tensor) -> Codes:
        """Return codes as int64.

        Raises:
            CodesError: If they are not whole numbers, not `(b, num_codebooks, *grid)`, out of range, or empty.
        """
        return checked_codes(codes, num_embeddings=self.num_embeddings, shape=(self.num_codebooks,))
