"""Vector quantization, the quantizer of the VQ-VAE."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.codebook import Codebook, EMACodebook, LearnedCodebook, Start
from voxlex.quantizers.gradients import Gradient, diveq, estimator, straight_through
from voxlex.quantizers.grids import as_vectors, look_up, on_grid, only_usable
from voxlex.quantizers.rates import CodewordRates
from voxlex.quantizers.regularizers import entropy_loss, orthogonality_loss
from voxlex.quantizers.search import nearest
from voxlex.types import Codes, GivenCodes, Latents

_GENTLE = 0.25
"""Share of a training after which the bits of codewords have their full weight."""

_NOISE = 1e-3
"""Variance of the noise of DiVeQ."""

_Assigned = tuple[Tensor, Tensor, Tensor | None]
"""Vectors `(n, d)`, the codeword of each, and which of them are usable."""

_CODEBOOKS: dict[str, type[Codebook]] = {"ema": EMACodebook, "loss": LearnedCodebook}


class VectorQuantizer(Quantizer):
    """Replaces each latent vector by its nearest codeword (van den Oord et al., 1711.00937, equations 1 to 3).

    ```
    quantizer = VectorQuantizer(num_embeddings=1024, embedding_dim=8)
    quantized = quantizer(z_e)                 # z_e: (b, 8, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q)) + quantized.loss
    ```

    Args:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a latent vector, d.
        codebook: With `"ema"`, codewords are running means. With `"loss"`, they are parameters with their own loss.
        distance: `"euclidean"` or `"cosine"`. With `"cosine"`, latents and codewords are normalized to unit vectors (Yu
            et al., 2110.04627).
        gradient: How the gradient passes the codeword, `"straight_through"`, `"rotation"` or `"diveq"` (see
            `gradients`). With `"diveq"`, codewords learn from the gradient of z_q, so it needs `codebook="loss"`, and
            their own loss is left out. In training mode, z_q then lies near the codeword, as far from the latent.
        commitment_cost: Weight β of the commitment loss ‖z_e − sg[e]‖², a mean over all elements.
        decay: Decay of the running averages per training step.
        revival_threshold: A codeword that is used less than this fraction of N/K is moved to a latent of the batch.
        start: With `"data"`, codewords start at latents of the first training batch. With `"kmeans"`, they start at the
            centers of clusters of these latents.
        entropy_weight: Weight of the entropy term, which rewards clear assignments to many codewords (see
            `regularizers`). The term exists in training mode only.
        orthogonality_weight: Weight of the mean squared cosine between codewords. It needs a codebook that learns by
            loss. The term exists in training mode only.
        rate_weight: Weight λ of the bits of a codeword against its squared distance, in mean squared distances a bit
            (entropy-constrained quantization, see `rates.CodewordRates`). A code then need not be the nearest codeword.
            With 0, all codewords cost the same.

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True
    remedy = "a lower learning rate, a larger batch, a smaller num_embeddings or a higher revival_threshold"

    def __init__(
        self,
        *,
        num_embeddings: int = 1024,
        embedding_dim: int = 8,
        codebook: Literal["ema", "loss"] = "ema",
        distance: Literal["euclidean", "cosine"] = "euclidean",
        gradient: Gradient | Literal["diveq"] = "straight_through",
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        revival_threshold: float = 0.05,
        start: Start = "data",
        entropy_weight: float = 0.0,
        orthogonality_weight: float = 0.0,
        rate_weight: float = 0.0,
    ) -> None:
        super().__init__(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if codebook not in _CODEBOOKS:
            raise ValueError(f"codebook: expected one of {sorted(_CODEBOOKS)}, got {codebook!r}")
        if distance not in ("euclidean", "cosine"):
            raise ValueError(f"distance: expected 'euclidean' or 'cosine', got {distance!r}")
        if min(commitment_cost, entropy_weight, orthogonality_weight, rate_weight) < 0:
            raise ValueError(
                "commitment_cost, entropy_weight, orthogonality_weight, rate_weight: expected at least 0, "
                f"got {commitment_cost}, {entropy_weight}, {orthogonality_weight}, {rate_weight}"
            )
        if orthogonality_weight and codebook == "ema":
            raise ValueError(
                f"orthogonality_weight: expected 0 with codebook='ema', got {orthogonality_weight}; "
                "use codebook='loss', which learns by gradients"
            )
        if gradient != "diveq":
            estimator(gradient)
        elif codebook == "ema":
            raise ValueError(
                "gradient: expected 'rotation' or 'straight_through' with codebook='ema', got 'diveq'; "
                "use codebook='loss', which learns by gradients"
            )
        self.distance = distance
        self.gradient = gradient
        self.commitment_cost = commitment_cost
        self.entropy_weight = entropy_weight
        self.orthogonality_weight = orthogonality_weight
        self.codebook = _CODEBOOKS[codebook](
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            unit=distance == "cosine",
            start=start,
            decay=decay,
            revival_threshold=revival_threshold,
        )
        self._to_learn: list[_Assigned] = []
        self.rates = (
            CodewordRates(num_embeddings=num_embeddings, weight=rate_weight, decay=decay) if rate_weight else None
        )

    @property
    def stageable(self) -> bool:
        """Whether the codewords learn without the gradient of z_q."""
        return self.gradient != "diveq"

    @property
    def equal_use(self) -> bool:
        """Whether codewords should be used equally often. They should not be if their bits are weighed."""
        return self.rates is None

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. In training mode, the codebook also starts, learns and is revived."""
        with torch.autocast(z_e.device.type, enabled=False):
            latents = self.continuous(z_e.float())
            vectors = as_vectors(latents)
            if self.training:
                self.codebook.start(vectors.detach())
            usable = self.codebook.usable(vectors.detach()) if self.training else None
            codewords = self.codebook.codewords()
            indices = nearest(vectors, codewords, penalty=self._penalty)
            codes = indices.view(z_e.shape[0], 1, *z_e.shape[2:])
            taken = look_up(codes, codewords)
            losses = self._losses(latents, taken, codewords, usable)
            if self.training:
                self._learn(vectors.detach(), indices, codewords.detach(), usable)
            z_q = self._pass_on(latents, taken, usable)
        return Quantized(z_q=z_q.to(z_e.dtype), codes=codes, losses=losses)

    def encode(self, z_e: Latents) -> Codes:
        """Return the index of the nearest codeword in each cell, or of the best one if bits are weighed."""
        vectors = as_vectors(self.continuous(z_e.float()))
        indices = nearest(vectors, self.codebook.codewords(), penalty=self._penalty)
        return indices.view(z_e.shape[0], 1, *z_e.shape[2:])

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the codeword in each cell, in float32."""
        codes = self.check_codes(codes)
        return look_up(codes, self.codebook.codewords())

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return the codebook."""
        return self.codebook.codewords().detach().unsqueeze(0)

    def continuous(self, z_e: Latents) -> Latents:
        """Return the latents, as unit vectors if the distance is the cosine."""
        self.check_latents(z_e)
        return F.normalize(z_e, dim=1) if self.distance == "cosine" else z_e

    def anneal(self, progress: float) -> None:
        """Weigh the bits of codewords more and more in the first quarter of a training."""
        if self.rates is not None:
            self.rates.anneal(min(progress / _GENTLE, 1.0))

    @property
    def _penalty(self) -> Float[Tensor, " k"] | None:
        return None if self.rates is None else self.rates.penalty

    def _pass_on(self, latents: Latents, taken: Latents, usable: Bool[Tensor, " n"] | None) -> Latents:
        """Return the codewords with a gradient for the latents; with DiVeQ, also for codewords of usable latents."""
        if self.gradient != "diveq":
            return estimator(self.gradient)(latents, taken)
        near = only_usable(latents, usable, otherwise=taken)
        z_q = diveq(near, taken, variance=_NOISE if self.training else 0.0)
        return z_q if usable is None else torch.where(on_grid(usable, z_q), z_q, straight_through(latents, taken))

    def _learn(
        self,
        vectors: Float[Tensor, "n d"],
        indices: Int64[Tensor, " n"],
        codewords: Float[Tensor, "k d"],
        usable: Bool[Tensor, " n"] | None,
    ) -> None:
        self._to_learn.append((vectors, indices, usable))
        if self.more_to_come:
            return
        vectors, indices, usable = _joined(self._to_learn)
        self._to_learn.clear()
        if self.rates is not None:
            squares = (vectors - codewords[indices]).square().sum(dim=1)
        self.codebook.learn(vectors, indices, usable)
        if self.rates is not None:
            self.rates.learn(squares, self.codebook.uses(), usable)

    def _losses(
        self, latents: Latents, taken: Latents, codewords: Float[Tensor, "k d"], usable: Bool[Tensor, " n"] | None
    ) -> dict[str, Tensor]:
        losses = {}
        if self.commitment_cost:
            losses["commitment"] = self.commitment_cost * F.mse_loss(latents, taken.detach())
        latents = only_usable(latents, usable, otherwise=taken)
        if isinstance(self.codebook, LearnedCodebook) and self.gradient != "diveq":
            losses["codebook"] = F.mse_loss(taken, latents.detach())
        if self.training and self.entropy_weight:
            variance = F.mse_loss(latents, taken)
            losses["entropy"] = self.entropy_weight * entropy_loss(as_vectors(latents), codewords, variance)
        if self.training and self.orthogonality_weight:
            losses["orthogonality"] = self.orthogonality_weight * orthogonality_loss(codewords)
        return losses


def _joined(parts: Sequence[_Assigned]) -> _Assigned:
    """Join the vectors of several forward passes, their codes, and which of them are usable."""
    if len(parts) == 1:
        return parts[0]
    vectors, codes, usable = zip(*parts, strict=True)
    known = [
        torch.ones_like(own, dtype=torch.bool) if which is None else which
        for own, which in zip(codes, usable, strict=True)
    ]
    return torch.cat(vectors), torch.cat(codes), torch.cat(known)
