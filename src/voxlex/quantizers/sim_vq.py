"""SimVQ, a frozen codebook under a learned linear map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from voxlex.quantizers import processes
from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.gradients import Gradient, estimator
from voxlex.quantizers.grids import as_vectors, look_up, only_usable
from voxlex.quantizers.outliers import usual
from voxlex.quantizers.search import nearest
from voxlex.types import Codes, GivenCodes, Latents


class SimVQ(Quantizer):
    """Learns a linear map of a frozen Gaussian codebook (Zhu et al., 2411.02038, section 4).

    ```
    quantizer = SimVQ(num_embeddings=1024, embedding_dim=8)
    quantized = quantizer(z_e)                 # z_e: (b, 8, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q)) + quantized.loss
    ```

    Every latent moves the map, and the map moves every codeword, so that unused codewords are not left behind. The
    codewords are CW + w, where C is a frozen draw from N(0, I), and the matrix W and the offset w are learned. Unlike
    in the paper, the first training batch sets W and w so that the codewords have the mean and the covariance of the
    latents of all processes. The codebook then covers the latents of any encoder, trained or not, from the first step.

    Args:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a latent vector, d.
        gradient: How the gradient passes the step from latent to codeword.
        commitment_cost: Weight β of the commitment loss ‖z_e − sg[e]‖², a mean over all elements.
        codebook_cost: Weight of the codebook loss ‖sg[z_e] − e‖², a mean over all elements. This loss moves W and w.

    Raises:
        ValueError: If an argument is out of range.
    """

    frozen: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        num_embeddings: int = 1024,
        embedding_dim: int = 8,
        gradient: Gradient = "straight_through",
        commitment_cost: float = 0.25,
        codebook_cost: float = 1.0,
    ) -> None:
        super().__init__(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        for name, value in (("commitment_cost", commitment_cost), ("codebook_cost", codebook_cost)):
            if value < 0:
                raise ValueError(f"{name}: expected at least 0, got {value}")
        self.estimate = estimator(gradient)
        self.commitment_cost = commitment_cost
        self.codebook_cost = codebook_cost
        self.register_buffer("frozen", torch.randn(num_embeddings, embedding_dim))
        self.register_buffer("started", torch.tensor(False))
        # These are not a linear layer, because weight decay on layers would pull the codewords together.
        self.weight = nn.Parameter(torch.eye(embedding_dim))
        self.offset = nn.Parameter(torch.zeros(embedding_dim))

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize latents. In training mode, the first batch also initializes the codebook."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            latents = z_e.float()
            vectors = as_vectors(latents)
            if self.training and not self.started:
                self._start(vectors)
            codebook = self._codebook()
            usable = self._usable(vectors, codebook if self.started else None) if self.training else None
            codes = nearest(vectors, codebook.detach()).view(z_e.shape[0], 1, *z_e.shape[2:])
            codewords = look_up(codes, codebook)
            losses = {
                "commitment": self.commitment_cost * F.mse_loss(latents, codewords.detach()),
                "codebook": self.codebook_cost
                * F.mse_loss(codewords, only_usable(latents.detach(), usable, otherwise=codewords)),
            }
        return Quantized(z_q=self.estimate(z_e, codewords.to(z_e.dtype)), codes=codes, losses=losses)

    def encode(self, z_e: Latents) -> Codes:
        """Return the index of the nearest codeword in each cell."""
        self.check_latents(z_e)
        return nearest(as_vectors(z_e), self._codebook().detach()).view(z_e.shape[0], 1, *z_e.shape[2:])

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the codeword in each cell, in float32."""
        codes = self.check_codes(codes)
        return look_up(codes, self._codebook())

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return the codebook."""
        return self._codebook().detach().unsqueeze(0)

    def _codebook(self) -> Float[Tensor, "k d"]:
        with torch.autocast(self.weight.device.type, enabled=False):
            return torch.addmm(self.offset.float(), self.frozen.float(), self.weight.float())

    @torch.no_grad()
    def _start(self, vectors: Float[Tensor, "n d"]) -> None:
        """Give the codewords the mean and covariance of the latents, unless all latents are equal.

        In that case, a later batch initializes them. Latents that are not finite or far too long are left out. C comes
        from the first process, because the others may have drawn a different one before they were connected.
        """
        self.frozen.copy_(processes.first(self.frozen))
        latents = processes.gathered(usual(vectors)).cpu().double()  # squares of large latents overflow float32
        mean = latents.sum(dim=0) / max(len(latents), 1)
        deviations = latents - mean
        variances, axes = torch.linalg.eigh(deviations.t() @ deviations / max(len(latents), 1))
        if variances[-1] <= 0:
            return
        # A flat direction keeps a hundredth of the widest spread, so that the map can grow along it.
        spreads = variances.clamp(min=1e-4 * float(variances[-1])).sqrt()
        self.weight.copy_(processes.first((axes * spreads @ axes.t()).to(self.weight)))
        self.offset.copy_(processes.first(mean.to(self.offset)))
        self.started.fill_(True)
