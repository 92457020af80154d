"""Codebooks: where codewords start, how they learn, and how dead ones come back to life."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, distributed, nn

from voxlex.quantizers.search import nearest

_GRACE = 16
"""A new codeword may go unused for as long as one of average use is used this often, and for this many steps."""


class Codebook(nn.Module, ABC):
    """K codewords that start at data, learn, and are revived when the data has left them.

    The processes of a distributed run share statistics and random draws, so their codebooks stay equal.

    Args:
        num_embeddings: Codewords, K.
        embedding_dim: Length of a codeword, d.
        decay: Of the running averages, per training step.
        revival_threshold: A codeword used less than this fraction of the mean, N/K for N vectors a step, is dead.

    Raises:
        ValueError: If `decay` or `revival_threshold` lies outside [0, 1).
    """

    embeddings: Tensor
    usage: Tensor
    steps: Tensor

    def __init__(self, *, num_embeddings: int, embedding_dim: int, decay: float, revival_threshold: float) -> None:
        super().__init__()
        for name, value in (("decay", decay), ("revival_threshold", revival_threshold)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected a number from 0 up to, but not including, 1, got {value}")
        self.num_embeddings = num_embeddings
        self.decay = decay
        self.revival_threshold = revival_threshold
        self.register_buffer("usage", torch.zeros(num_embeddings))
        self.register_buffer("steps", torch.tensor(0))

    def nearest(self, vectors: Float[Tensor, "n d"]) -> Int64[Tensor, " n"]:
        """Return the index of the codeword nearest to each vector."""
        return nearest(vectors, self.embeddings)

    @torch.no_grad()
    def start(self, vectors: Float[Tensor, "n d"]) -> None:
        """Place the codewords at vectors of the first training batch; once the codebook has learned, do nothing."""
        if self.steps > 0:
            return
        everywhere = torch.arange(self.num_embeddings, device=vectors.device)
        vectors_per_step = _sum_over_processes(torch.tensor(float(len(vectors)), device=vectors.device))
        self._place(everywhere, _draw(torch.ones_like(vectors[:, 0]), vectors, self.num_embeddings), vectors_per_step)

    @torch.no_grad()
    def learn(self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"]) -> None:
        """Take in one step's assignment of vectors to codewords, then revive the codewords that are dead."""
        batch_counts = _sum_over_processes(torch.bincount(codes, minlength=self.num_embeddings).float())
        self._learn(vectors, codes, batch_counts)
        self.usage.lerp_(batch_counts, 1 - self.decay)
        self.steps += 1
        dead = (self.usage < self.revival_threshold * batch_counts.mean()).nonzero().squeeze(1)
        if len(dead):
            # Far vectors lack a codeword most and are drawn more often, as in k-means++ (Arthur, Vassilvitskii, 2007),
            # but by distance, not by its square: outliers would get codewords that are hardly ever used.
            distances = (vectors - self.embeddings[codes]).norm(dim=1)
            self._place(dead, _draw(distances, vectors, len(dead)), batch_counts.sum())

    def _place(
        self, indices: Int64[Tensor, " m"], places: Float[Tensor, "m d"], vectors_per_step: Float[Tensor, ""]
    ) -> None:
        """Move codewords to new places, with a usage that falls under the threshold unless they are soon used."""
        mean_usage = vectors_per_step / self.num_embeddings
        grace_steps = _GRACE * (1 / mean_usage).clamp(min=1)
        self.embeddings[indices] = places
        self.usage[indices] = self.revival_threshold * mean_usage * self.decay**-grace_steps
        self._forget(indices)

    @abstractmethod
    def _learn(
        self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"], batch_counts: Float[Tensor, " k"]
    ) -> None:
        """Move the codewords, where that is not the optimiser's work."""

    @abstractmethod
    def _forget(self, indices: Int64[Tensor, " m"]) -> None:
        """Drop what else is kept about codewords that have just been replaced."""


class EMACodebook(Codebook):
    """Each codeword is the running mean of the vectors assigned to it (1711.00937, appendix A.1).

    Count N and sum S decay alike, so e = S/N is unbiased from the first step on; a codeword that got no vector keeps
    its place exactly. The decay rises to its final value as (1 + t)/(10 + t) over the steps t: a young encoder's
    latents move fast, and a long average would be left behind by them.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, *, num_embeddings: int, embedding_dim: int, decay: float, revival_threshold: float) -> None:
        super().__init__(
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            decay=decay,
            revival_threshold=revival_threshold,
        )
        self.register_buffer("embeddings", torch.randn(num_embeddings, embedding_dim))
        self.register_buffer("counts", torch.zeros(num_embeddings))
        self.register_buffer("sums", torch.zeros(num_embeddings, embedding_dim))

    def _learn(
        self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"], batch_counts: Float[Tensor, " k"]
    ) -> None:
        batch_sums = _sum_over_processes(torch.zeros_like(self.sums).index_add_(0, codes, vectors))
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        self.counts.lerp_(batch_counts, 1 - decay)
        self.sums.lerp_(batch_sums, 1 - decay)
        used = (batch_counts > 0).unsqueeze(1)
        self.embeddings.copy_(torch.where(used, self.sums / self.counts.unsqueeze(1), self.embeddings))

    def _forget(self, indices: Int64[Tensor, " m"]) -> None:
        self.counts[indices] = 0
        self.sums[indices] = 0


class LearnedCodebook(Codebook):
    """Codewords are parameters; the optimiser moves them down the codebook loss (1711.00937, equation 3)."""

    def __init__(self, *, num_embeddings: int, embedding_dim: int, decay: float, revival_threshold: float) -> None:
        super().__init__(
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            decay=decay,
            revival_threshold=revival_threshold,
        )
        self.embeddings = nn.Parameter(torch.randn(num_embeddings, embedding_dim))

    def _learn(
        self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"], batch_counts: Float[Tensor, " k"]
    ) -> None:
        pass

    def _forget(self, indices: Int64[Tensor, " m"]) -> None:
        pass


def _sum_over_processes(tensor: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(tensor)
    return tensor


def _draw(weights: Float[Tensor, " n"], vectors: Float[Tensor, "n d"], count: int) -> Float[Tensor, "m d"]:
    """Draw vectors at random by weight, without replacement as far as they reach; all get the first process's."""
    drawn = vectors[torch.multinomial(weights + 1e-12, count, replacement=count > len(vectors))]
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(drawn, src=0)
    return drawn
