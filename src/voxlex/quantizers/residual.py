"""Residual quantization, in which each stage quantizes what the stages before it left over."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.errors import CodesError
from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.composed import check_alike, check_stageable, kept_stages, mean_losses, quantizers
from voxlex.quantizers.gradients import Gradient, estimator
from voxlex.types import Codes, GivenCodes, Latents


class ResidualQuantizer(Quantizer):
    """Sums one codeword from each of several stages (Zeghidour et al., SoundStream, 2107.03312, section III-C).

    ```
    stages = [VectorQuantizer(num_embeddings=256, embedding_dim=8) for _ in range(4)]
    quantizer = ResidualQuantizer(stages=stages)
    quantized = quantizer(z_e)                 # codes: (b, 4, *grid)
    coarse = quantizer.decode(quantized.codes[:, :2])
    ```

    The gradient passes the sum once. In many other implementations each stage passes it, so that the encoder gets it
    `q` times.

    Args:
        stages: One quantizer for each stage, or one that all stages share. Each has one codebook, and all have the same
            K and d. Quantizers that are not `stageable` are refused.
        num_codebooks: Number of stages, q. By default, each quantizer is one stage.
        gradient: How the gradient passes the sum, `"straight_through"` or `"rotation"` (see `gradients`).
        dropout: Share of training examples that stop after a random number of stages, so that the first codes can also
            be decoded alone (SoundStream, section III-C).

    Raises:
        ValueError: If the stages do not match each other, or an argument is out of range.
    """

    def __init__(
        self,
        *,
        stages: Sequence[Quantizer],
        num_codebooks: int | None = None,
        gradient: Gradient = "straight_through",
        dropout: float = 0.0,
    ) -> None:
        check_alike(stages)
        check_stageable(stages, name="stages")
        depth = len(stages) if num_codebooks is None else num_codebooks
        if len(stages) not in (1, depth):
            raise ValueError(f"stages: expected {depth}, one for each codebook, or one for all, got {len(stages)}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout: expected a share from 0 to 1, got {dropout}")
        super().__init__(
            num_embeddings=stages[0].num_embeddings, embedding_dim=stages[0].embedding_dim, num_codebooks=depth
        )
        self.stages = nn.ModuleList(stages)
        self.recordable = all(stage.recordable for stage in stages)
        self.estimate = estimator(gradient)
        self.dropout = dropout

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents stage by stage. In training mode, the codebooks also learn."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            latents = z_e.float()
            dropping = self.training and self.dropout
            kept = kept_stages(len(z_e), self.num_codebooks, self.dropout, z_e.device) if dropping else None
            residual, total = latents, torch.zeros_like(latents)
            passes = []
            for i, stage in enumerate(self._stages()):
                passes.append(stage(residual))
                codeword = passes[-1].z_q.detach()
                residual = residual - codeword
                total = total + (codeword if kept is None else codeword * _broadcast(kept[:, i], codeword))
            z_q = self.estimate(latents, total)
        codes = torch.cat([quantized.codes for quantized in passes], dim=1)
        return Quantized(z_q=z_q.to(z_e.dtype), codes=codes, losses=mean_losses([p.losses for p in passes]))

    def encode(self, z_e: Latents) -> Codes:
        """Return the codes of all stages."""
        self.check_latents(z_e)
        residual, codes = z_e.float(), []
        for stage in self._stages():
            codes.append(stage.encode(residual))
            residual = residual - stage.decode(codes[-1])
        return torch.cat(codes, dim=1)

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the sum of the codewords in float32, of the first stages only if cells hold fewer codes."""
        if codes.ndim < 3 or not 1 <= codes.shape[1] <= self.num_codebooks:
            expected = f"(b, 1 to {self.num_codebooks}, *grid)"
            raise CodesError(f"codes: expected shape {expected}, got {tuple(codes.shape)}")
        parts = [stage.decode(part) for stage, part in zip(self._stages(), codes.split(1, dim=1), strict=False)]
        return sum(parts, start=torch.zeros_like(parts[0]))

    def codewords(self) -> Float[Tensor, "q k d"]:
        """Return each stage's codebook."""
        return torch.cat([stage.codewords() for stage in self._stages()])

    def codeword_norms(self) -> Float[Tensor, "q k"]:
        """Return the lengths of each stage's codewords."""
        return torch.cat([stage.codeword_norms() for stage in self._stages()])

    @property
    def equal_use(self) -> bool:
        """Whether all parts aim at equal use."""
        return all(part.equal_use for part in quantizers(self.stages))

    def anneal(self, progress: float) -> None:
        """Advance the schedule of each stage."""
        for stage in quantizers(self.stages):
            stage.anneal(progress)

    def _stages(self) -> list[Quantizer]:
        own = quantizers(self.stages)
        return own if len(own) > 1 else own * self.num_codebooks


def _broadcast(per_example: Tensor, like: Tensor) -> Tensor:
    return per_example.view(-1, *[1] * (like.ndim - 1))
