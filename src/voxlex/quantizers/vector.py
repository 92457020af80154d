"""Vector quantisation: the quantiser of the VQ-VAE."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.codebook import Codebook, EMACodebook, LearnedCodebook
from voxlex.quantizers.gradients import straight_through
from voxlex.types import Codes, Latents

_CODEBOOKS: dict[str, type[Codebook]] = {"ema": EMACodebook, "loss": LearnedCodebook}


class VectorQuantizer(Quantizer):
    """Replaces each latent vector by its nearest codeword (van den Oord et al., 1711.00937, equations 1 to 3).

    ```
    quantizer = VectorQuantizer(num_embeddings=1024, embedding_dim=8)
    quantized = quantizer(z_e)                 # z_e: (b, 8, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q)) + quantized.loss
    ```

    Args:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a latent vector, d.
        codebook: `"ema"`: codewords follow running means; `"loss"`: codewords are parameters with a loss of their own.
        commitment_cost: Weight β of the commitment loss ‖z_e − sg[e]‖², a mean over all elements.
        decay: Of the running averages, per training step.
        revival_threshold: A codeword used less than this fraction of N/K is moved to a latent of the batch.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        *,
        num_embeddings: int = 1024,
        embedding_dim: int = 8,
        codebook: Literal["ema", "loss"] = "ema",
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        revival_threshold: float = 0.05,
    ) -> None:
        super().__init__(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if codebook not in _CODEBOOKS:
            raise ValueError(f"codebook: expected one of {sorted(_CODEBOOKS)}, got {codebook!r}")
        if commitment_cost < 0:
            raise ValueError(f"commitment_cost: expected at least 0, got {commitment_cost}")
        self.commitment_cost = commitment_cost
        self.codebook = _CODEBOOKS[codebook](
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            decay=decay,
            revival_threshold=revival_threshold,
        )

    def forward(self, z_e: Latents) -> Quantized:
        """Quantise latents; in training mode the codebook also starts, learns and revives."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            latents = z_e.float()
            vectors = _as_vectors(latents)
            if self.training:
                self.codebook.start(vectors.detach())
            indices = self.codebook.nearest(vectors)
            codes = indices.view(len(z_e), 1, *z_e.shape[2:])
            codewords = self._look_up(codes)
            losses = self._losses(latents, codewords)
            if self.training:
                self.codebook.learn(vectors.detach(), indices)
        return Quantized(z_q=straight_through(z_e, codewords.to(z_e.dtype)), codes=codes, losses=losses)

    def encode(self, z_e: Latents) -> Codes:
        """Return the index of the nearest codeword in each cell."""
        self.check_latents(z_e)
        return self.codebook.nearest(_as_vectors(z_e)).view(len(z_e), 1, *z_e.shape[2:])

    def decode(self, codes: Codes) -> Latents:
        """Return the codeword in each cell, float32."""
        self.check_codes(codes)
        return self._look_up(codes)

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return the codebook."""
        return self.codebook.embeddings.detach().unsqueeze(0)

    def _look_up(self, codes: Codes) -> Latents:
        return F.embedding(codes[:, 0], self.codebook.embeddings).movedim(-1, 1)

    def _losses(self, latents: Latents, codewords: Latents) -> dict[str, Tensor]:
        losses = {"commitment": self.commitment_cost * F.mse_loss(latents, codewords.detach())}
        if isinstance(self.codebook, LearnedCodebook):
            losses["codebook"] = F.mse_loss(codewords, latents.detach())
        return losses


def _as_vectors(latents: Latents) -> Float[Tensor, "n d"]:
    return latents.movedim(1, -1).flatten(end_dim=-2)
