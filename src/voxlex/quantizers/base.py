"""The contract of every quantizer: latents in, their quantized form and its codes out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.errors import CodesError
from voxlex.types import Codes, Latents


class Quantized(NamedTuple):
    """What a quantizer makes of a batch of latents.

    Attributes:
        z_q: The quantized latents; gradients reach the encoder through them.
        codes: The index of the codeword taken from each codebook in each cell.
        losses: Named, weighted loss terms; each is a mean, so none of them depends on the batch size.
    """

    z_q: Latents
    codes: Codes
    losses: Mapping[str, Float[Tensor, ""]]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The sum of the loss terms, ready to be added to a reconstruction loss."""
        return sum(self.losses.values(), start=self.z_q.new_zeros((), dtype=torch.float32))


class Quantizer(nn.Module, ABC):
    """Base of all quantizers; any number of spatial dimensions.

    In eval mode `forward` changes no state and `decode(forward(z_e).codes)` equals `forward(z_e).z_q` exactly.

    Args:
        num_embeddings: Codewords in each codebook, K.
        embedding_dim: Length of a latent vector, d.
        num_codebooks: Codes in each cell, q.

    Attributes:
        remedy: What to try when few codewords carry all the data.
    """

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

    @abstractmethod
    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents; in training mode this also lets the codebook learn from them."""

    @abstractmethod
    def encode(self, z_e: Latents) -> Codes:
        """Return the codes of latents; changes no state, in either mode."""

    @abstractmethod
    def decode(self, codes: Codes) -> Latents:
        """Return the latents that codes stand for.

        Raises:
            CodesError: If a code lies outside `[0, num_embeddings)` or there are not `num_codebooks` of them a cell.
        """

    @abstractmethod
    def codewords(self) -> Float[Tensor, "q k v"]:
        """Return the vectors that the codes of each codebook stand for, float32."""

    def codeword_norms(self) -> Float[Tensor, "q k"]:
        """Return the lengths of `codewords()`; where these follow a rule, without making a table of them first."""
        return self.codewords().norm(dim=2)

    def continuous(self, z_e: Latents) -> Latents:
        """Return what the decoder would get if nothing were rounded: latents with the bounds of `z_q`, differentiable.

        An encoder and decoder that train on these first are at home on the quantizer's ground when rounding begins.
        """
        self.check_latents(z_e)
        return z_e

    def anneal(self, progress: float) -> None:
        """Follow a schedule over training, if the quantizer has one.

        Args:
            progress: Share of the training that is done, from 0 to 1.
        """

    def check_latents(self, z_e: Tensor) -> None:
        """Raise ValueError unless `z_e` is `(b, embedding_dim, *grid)` of floating point."""
        if z_e.ndim < 3 or z_e.shape[1] != self.embedding_dim:
            raise ValueError(f"latents: expected shape (b, {self.embedding_dim}, *grid), got {tuple(z_e.shape)}")
        if not z_e.is_floating_point():
            raise ValueError(f"latents: expected floating point, got {z_e.dtype}")

    def check_codes(self, codes: Tensor) -> None:
        """Raise CodesError unless `codes` is int64 (or int32) `(b, num_codebooks, *grid)` with every value in range."""
        if codes.ndim < 3 or codes.shape[1] != self.num_codebooks:
            raise CodesError(f"codes: expected shape (b, {self.num_codebooks}, *grid), got {tuple(codes.shape)}")
        if codes.dtype not in (torch.int64, torch.int32):
            raise CodesError(f"codes: expected int64, got {codes.dtype}")
        if torch.compiler.is_compiling():
            return  # a compiled or exported graph cannot branch on values
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= self.num_embeddings):
            raise CodesError(
                f"codes: expected values from 0 to {self.num_embeddings - 1}, "
                f"got {int(codes.min())} to {int(codes.max())}"
            )
