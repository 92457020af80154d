"""Gumbel quantization, which samples codewords and relaxes the sample so that gradients can pass."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.equals import first_of_equals
from voxlex.quantizers.gradients import straight_through
from voxlex.quantizers.grids import as_grid, as_vectors, look_up
from voxlex.types import Codes, GivenCodes, Latents

_TILE_ELEMENTS = 2**22
"""How many logits are held at a time if no gradient is needed: 16 MiB of float32."""

_SHARPNESS = 4.0
"""s of the initial distribution, exp(−½s‖z − e‖²), wide enough for gradients and narrow enough to separate latents."""


class GumbelQuantizer(Quantizer):
    """Samples a codeword from a categorical distribution by the relaxed Gumbel-max trick.

    ```
    quantizer = GumbelQuantizer(num_embeddings=1024, embedding_dim=8)
    quantizer.anneal(progress)                 # each step, progress from 0 to 1
    quantized = quantizer(z_e)                 # z_e: (b, 8, *grid)
    loss = reconstruction_loss(decoder(quantized.z_q)) + quantized.loss
    ```

    The method is that of Jang et al., 1611.01144, and Maddison et al., 1611.00712. The discrete VAE of DALL·E uses it
    (Ramesh et al., 2102.12092, section 2.1). A linear map turns latents into logits. In training mode, `z_q` is the
    mean of the codewords, weighted by softmax((logits + Gumbel noise)/τ), and the codes are the argmax of the logits
    without noise. In eval mode, `z_q` is the codeword of the code. `forward` holds several N×K matrices, because a
    sample needs the probability of every codeword. `encode` does not hold them.

    Args:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a latent vector, d.
        temperature: τ at the start of training.
        final_temperature: τ at the end of training. `anneal` goes from one to the other along a half cosine.
        kl_weight: Weight of KL(p(code|z) ‖ uniform), in nats per cell. This loss keeps codes from becoming certain too
            early.
        hard: Whether the decoder gets the sampled codeword itself, with the gradient of the relaxed sample.

    Raises:
        ValueError: If an argument is out of range.
    """

    recordable = True
    temperature: Tensor

    def __init__(
        self,
        *,
        num_embeddings: int = 1024,
        embedding_dim: int = 8,
        temperature: float = 1.0,
        final_temperature: float = 0.0625,
        kl_weight: float = 5e-4,
        hard: bool = False,
    ) -> None:
        super().__init__(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if not temperature >= final_temperature > 0:
            raise ValueError(
                f"temperature: expected at least final_temperature, and both above 0, "
                f"got {temperature} and {final_temperature}"
            )
        if kl_weight < 0:
            raise ValueError(f"kl_weight: expected at least 0, got {kl_weight}")
        self.initial_temperature = temperature
        self.final_temperature = final_temperature
        self.kl_weight = kl_weight
        self.hard = hard
        self.register_buffer("temperature", torch.tensor(temperature))
        self.embeddings = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        self.to_logits = nn.Linear(embedding_dim, num_embeddings)
        # The logits begin as −½s‖z − e‖², up to a constant. So a sample is a codeword near the latent, and the
        # gradients are useful from the first step. After a random start, most codewords would stay unused.
        with torch.no_grad():
            self.to_logits.weight.copy_(_SHARPNESS * self.embeddings)
            self.to_logits.bias.copy_(-0.5 * _SHARPNESS * self.embeddings.square().sum(dim=1))

    def forward(self, z_e: Latents) -> Quantized:
        """Sample codewords in training mode, or take the most probable ones in eval mode."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            vectors = as_vectors(z_e.float())
            indices = self._most_probable(vectors)
            usable = self._usable(vectors, self.embeddings)
            if usable is not None:
                vectors = torch.where(usable.unsqueeze(1), vectors, 0)
            logits = self._logits(vectors)
            mixed = self._sample(logits) if self.training else self._take(logits, indices)
            losses = {"kl": self.kl_weight * self._divergence(logits)}
        codes = indices.view(z_e.shape[0], 1, *z_e.shape[2:])
        return Quantized(z_q=as_grid(mixed, z_e), codes=codes, losses=losses)

    def encode(self, z_e: Latents) -> Codes:
        """Return the most probable codeword of each cell, the first one if several have equal weights."""
        self.check_latents(z_e)
        return self._most_probable(as_vectors(z_e.float())).view(z_e.shape[0], 1, *z_e.shape[2:])

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the codeword in each cell, in float32."""
        codes = self.check_codes(codes)
        return look_up(codes, self.embeddings.float())

    def codewords(self) -> Float[Tensor, "1 k d"]:
        """Return the codebook."""
        return self.embeddings.detach().float().unsqueeze(0)

    def continuous(self, z_e: Latents) -> Latents:
        """Return the mean codeword under p(code|z), around which samples scatter."""
        self.check_latents(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            return as_grid(self._mean(self._logits(as_vectors(z_e.float()))), z_e)

    @property
    def stageable(self) -> bool:
        """False: codewords learn from the gradient of z_q."""
        return False

    def anneal(self, progress: float) -> None:
        """Lower the temperature from its initial to its final value along a half cosine (2102.12092, section 2.1)."""
        share_left = (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
        self.temperature.fill_(
            self.final_temperature + share_left * (self.initial_temperature - self.final_temperature)
        )

    def _logits(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        with torch.autocast(vectors.device.type, enabled=False):
            return F.linear(vectors, self.to_logits.weight.float(), self.to_logits.bias.float())

    @torch.no_grad()
    def _most_probable(self, vectors: Float[Tensor, "n d"]) -> Int64[Tensor, " n"]:
        weight, bias = self.to_logits.weight.float(), self.to_logits.bias.float()
        first = first_of_equals(torch.cat([weight, bias.unsqueeze(1)], dim=1))
        if torch.compiler.is_compiling():
            return first[self._logits(vectors).argmax(dim=1)]  # tiles would fix the batch size of the graph
        rows = max(_TILE_ELEMENTS // self.num_embeddings, 1)
        return first[torch.cat([self._logits(tile).argmax(dim=1) for tile in vectors.split(rows)])]

    def _sample(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n d"]:
        noise = -torch.empty_like(logits).exponential_().log()
        weights = ((logits + noise) / self.temperature).softmax(dim=1)
        if self.hard:
            drawn = weights.argmax(dim=1, keepdim=True)
            weights = straight_through(weights, torch.zeros_like(weights).scatter(1, drawn, 1.0))
        return weights @ self.embeddings.float()

    def _take(self, logits: Float[Tensor, "n k"], indices: Int64[Tensor, " n"]) -> Float[Tensor, "n d"]:
        return straight_through(self._mean(logits), F.embedding(indices, self.embeddings.float()))

    def _mean(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n d"]:
        return logits.softmax(dim=1) @ self.embeddings.float()

    def _divergence(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Return KL(p ‖ uniform) = ln K − H(p) in nats, averaged over cells."""
        log_probabilities = logits.log_softmax(dim=1)
        return math.log(self.num_embeddings) + (log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
