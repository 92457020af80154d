"""Codebooks: how codewords are initialized, how they learn, and how unused ones are revived."""

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from voxlex.quantizers import processes
from voxlex.quantizers.outliers import Outliers, are_far, usual
from voxlex.quantizers.precision import PreciseBuffers
from voxlex.quantizers.search import nearest

Start = Literal["data", "kmeans"]
"""Where codewords start: at latents of the first training batch, or at the centers of clusters of these latents."""

_KMEANS_ITERATIONS = 10

_GRACE_USES = 16
"""Number of uses that a new codeword is given time for.

It can be revived only after this many steps, and only after enough steps for this many uses at the average rate.
"""

_MOST_REVIVED = 1024
"""Dead codewords that are moved in one step, at most. A GPU has to know the number before it has counted them."""


class Codebook(PreciseBuffers, ABC):
    """K codewords that start at the data, learn from it, and are revived when they are no longer used.

    The processes of a distributed run share their statistics and random draws. So their codebooks stay equal, and match
    the codebook of a single process that sees all batches as one.

    A codebook neither starts at, nor learns from, nor is revived at vectors that are not finite or far too long. Its
    statistics have at least the precision of float32, also in a model of half precision.

    Args:
        num_embeddings: Number of codewords, K.
        embedding_dim: Length of a codeword, d.
        unit: Whether codewords are unit vectors.
        start: Where the codewords start: `"data"` or `"kmeans"`.
        decay: Decay of the running averages per training step.
        revival_threshold: A codeword is dead if it is used less than this fraction of the mean use. The mean is N/K if
            a step has N vectors.

    Attributes:
        usage: Running mean of the number of times that a step uses each codeword. It is biased towards 0 in the first
            steps; `age` serves to correct this.
        age: Number of steps since each codeword was moved to a vector of the data.
        started: Whether the codewords have been initialized.
        outliers: Finds the vectors to leave out.

    Raises:
        ValueError: If an argument is out of range.
    """

    embeddings: Tensor
    usage: Tensor
    age: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        num_embeddings: int,
        embedding_dim: int,
        unit: bool = False,
        start: Start,
        decay: float,
        revival_threshold: float,
    ) -> None:
        super().__init__()
        for name, value in (("decay", decay), ("revival_threshold", revival_threshold)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected a number from 0 up to, but not including, 1, got {value}")
        if start not in ("data", "kmeans"):
            raise ValueError(f"start: expected 'data' or 'kmeans', got {start!r}")
        self.num_embeddings = num_embeddings
        self.unit = unit
        self.start_at = start
        self.decay = decay
        self.revival_threshold = revival_threshold
        self.outliers = Outliers()
        self._has_started = False
        self.register_buffer("usage", torch.zeros(num_embeddings))
        self.register_buffer("age", torch.zeros(num_embeddings, dtype=torch.int64))
        self.register_buffer("started", torch.tensor(False))
        self._create(torch.randn(num_embeddings, embedding_dim))

    def codewords(self) -> Float[Tensor, "k d"]:
        """Return the codewords in float32."""
        embeddings = self.embeddings.float()
        return F.normalize(embeddings, dim=1) if self.unit else embeddings

    @torch.no_grad()
    def start(self, vectors: Float[Tensor, "n d"]) -> None:
        """Initialize the codewords from the first training batch with usable vectors. Later calls do nothing."""
        if self._known_to_have_started():
            return
        vectors = usual(vectors)
        places = _draw(vectors, self.num_embeddings)
        if not len(places):
            return
        everywhere = torch.ones(self.num_embeddings, dtype=torch.bool, device=vectors.device)
        self._place(everywhere, places)
        if self.start_at == "kmeans":
            for _ in range(_KMEANS_ITERATIONS):
                codes = nearest(vectors, self.codewords())
                means = _means(self._sums(vectors, codes), self._counts(codes), otherwise=self.embeddings)
                self._place(everywhere, means)
        self.started.fill_(True)

    @torch.no_grad()
    def usable(self, vectors: Float[Tensor, "n d"]) -> Bool[Tensor, " n"] | None:
        """Return which vectors of a training step the codebook can learn from; None for all. See `Outliers.usable`."""
        return self.outliers.usable(vectors, self.embeddings if self._known_to_have_started() else None)

    @torch.no_grad()
    def learn(
        self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"], usable: Bool[Tensor, " n"] | None = None
    ) -> None:
        """Learn from the assignment of vectors to codewords in one step, then revive dead codewords.

        Args:
            vectors: Vectors of the step.
            codes: The codeword of each.
            usable: The vectors to learn from, as `usable` returns them; None for all. If there are none in any process,
                nothing changes.
        """
        # A GPU must not wait for the outcome of a comparison, so conditions become masks and factors.
        if usable is not None:
            vectors = vectors.where(usable.unsqueeze(1), 0)
        counts = self._counts(codes, usable)
        learns = counts.any()
        self._move(vectors, codes, counts, learns)
        self.usage.lerp_(counts.to(self.usage), (1 - self.decay) * learns.to(self.usage))
        self.age += learns
        self._revive(self._dead(counts.mean()) & learns, vectors, codes, usable)

    def _revive(
        self,
        dead: Bool[Tensor, " k"],
        vectors: Float[Tensor, "n d"],
        codes: Int64[Tensor, " n"],
        usable: Bool[Tensor, " n"] | None,
    ) -> None:
        """Move dead codewords to usable vectors of the step, to different ones. What is left waits for the next step.

        Vectors that are far from their codewords need a new one most, so they are drawn more often, as in k-means++
        (Arthur, Vassilvitskii, 2007). The weight is the distance and not its square: the square would give outliers
        codewords that are hardly ever used.
        """
        if dead.is_cpu and not dead.any():
            return
        weights = (vectors - self.codewords()[codes]).norm(dim=1).nan_to_num(nan=0, posinf=0) + 1e-12
        if usable is not None:
            weights = weights.where(usable, 0)
        weights, vectors = processes.gathered(weights), processes.gathered(vectors)
        most = min(self.num_embeddings, len(vectors), _MOST_REVIVED)
        # The first to arrive in a race of exponential times are a draw by weight without replacement.
        drawn = processes.first((weights / torch.empty_like(weights).exponential_()).topk(most).indices)
        place = dead.cumsum(0) - 1
        drawn = drawn[place.clamp(0, most - 1)]
        self._place(dead & (place < most) & (weights[drawn] > 0), vectors[drawn])

    def uses(self) -> Float[Tensor, " k"]:
        """Return how often a step uses each codeword: the running mean, without its bias towards 0.

        A codeword that has just been moved counts as one of mean use.
        """
        known = self.age > 0
        uses = self.usage / (1 - self.decay**self.age).where(known, 1)
        return uses.where(known, (uses.sum() / known.sum().clamp(min=1)).where(known.any(), 1))

    def _dead(self, mean_count: Float[Tensor, ""]) -> Tensor:
        """Return which codewords are not finite, far too long, or used too little.

        One codeword that is far too long takes the search the precision to tell apart all others.
        """
        grace = _GRACE_USES * (1 / mean_count).clamp(min=1)
        useless = (self.uses() < self.revival_threshold * mean_count) | are_far(self.embeddings)
        return (useless & (self.age >= grace)) | ~self.embeddings.sum(dim=1).isfinite()

    def _place(self, which: Bool[Tensor, " k"], places: Float[Tensor, "k d"]) -> None:
        """Move some of the codewords to new places and reset their statistics."""
        self.embeddings.copy_(torch.where(which.unsqueeze(1), places.to(self.embeddings.dtype), self.embeddings))
        self.usage.masked_fill_(which, 0)
        self.age.masked_fill_(which, 0)

    def _known_to_have_started(self) -> bool:
        """Return `started`, without reading it from a GPU in every step."""
        self._has_started = self._has_started or bool(self.started)
        return self._has_started

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._has_started = False

    def _counts(self, codes: Int64[Tensor, " n"], usable: Bool[Tensor, " n"] | None = None) -> Float[Tensor, " k"]:
        """Return the number of usable vectors assigned to each codeword, over all processes."""
        ones = torch.ones(len(codes), device=codes.device) if usable is None else usable.float()
        return processes.total(ones.new_zeros(self.num_embeddings).index_add_(0, codes, ones))

    def _sums(self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, " n"]) -> Float[Tensor, "k d"]:
        """Return the sum of the vectors assigned to each codeword, over all processes."""
        sums = vectors.new_zeros(self.num_embeddings, vectors.shape[1]).index_add_(0, codes, vectors)
        return processes.total(sums).to(self.embeddings.dtype)

    @abstractmethod
    def _create(self, embeddings: Float[Tensor, "k d"]) -> None:
        """Create `embeddings` and the other state that is kept for each codeword."""

    @abstractmethod
    def _move(
        self,
        vectors: Float[Tensor, "n d"],
        codes: Int64[Tensor, " n"],
        counts: Float[Tensor, " k"],
        learns: Bool[Tensor, ""],
    ) -> None:
        """Move the codewords, unless the optimizer does.

        Args:
            vectors: Vectors of the step; zeros where they are not usable.
            codes: The codeword of each.
            counts: How often all processes used each codeword.
            learns: Whether any vector is usable.
        """


class EMACodebook(Codebook):
    """A codebook in which each codeword is the running mean of its vectors (1711.00937, appendix A.1).

    The count N and the sum S decay at the same rate, so e = S/N is unbiased from the first step. A codeword that
    receives no vector stays exactly where it is. The decay rises to its final value as (1 + t)/(10 + t), where t is the
    step. A long average could not follow the latents of an untrained encoder, which move fast.
    """

    counts: Tensor
    sums: Tensor
    steps: Tensor

    def _create(self, embeddings: Float[Tensor, "k d"]) -> None:
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("counts", torch.zeros(len(embeddings)))
        self.register_buffer("sums", torch.zeros_like(embeddings))
        self.register_buffer("steps", torch.tensor(0))

    def _move(
        self,
        vectors: Float[Tensor, "n d"],
        codes: Int64[Tensor, " n"],
        counts: Float[Tensor, " k"],
        learns: Bool[Tensor, ""],
    ) -> None:
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        share = (1 - decay).to(self.counts.dtype) * learns
        self.counts.lerp_(counts.to(self.counts.dtype), share)
        self.sums.lerp_(self._sums(vectors, codes), share)
        self.embeddings.copy_(_means(self.sums, self.counts * (counts > 0), otherwise=self.embeddings))
        self.steps += learns

    def _place(self, which: Bool[Tensor, " k"], places: Float[Tensor, "k d"]) -> None:
        super()._place(which, places)
        self.counts.masked_fill_(which, 0)
        self.sums.masked_fill_(which.unsqueeze(1), 0)


class LearnedCodebook(Codebook):
    """A codebook of parameters that the optimizer moves to lower the codebook loss (1711.00937, equation 3)."""

    def _create(self, embeddings: Float[Tensor, "k d"]) -> None:
        self.embeddings = nn.Parameter(embeddings)

    def codewords(self) -> Float[Tensor, "k d"]:
        """Return a copy of the codewords, because a revival may overwrite the parameter before the backward pass."""
        embeddings = self.embeddings.float().clone()
        return F.normalize(embeddings, dim=1) if self.unit else embeddings

    def _move(
        self,
        vectors: Float[Tensor, "n d"],
        codes: Int64[Tensor, " n"],
        counts: Float[Tensor, " k"],
        learns: Bool[Tensor, ""],
    ) -> None:
        """Leave the codewords to the optimizer."""


def _means(
    sums: Float[Tensor, "k d"], counts: Float[Tensor, " k"], *, otherwise: Float[Tensor, "k d"]
) -> Float[Tensor, "k d"]:
    """Return sums divided by counts, or the row of `otherwise` where a count is 0."""
    counts = counts.unsqueeze(1)
    return torch.where(counts > 0, sums / counts, otherwise)


def _draw(vectors: Float[Tensor, "n d"], count: int) -> Float[Tensor, "m d"]:
    """Draw vectors of all processes, without replacement if there are enough; none if there are none."""
    vectors = processes.gathered(vectors)
    if not len(vectors):
        return vectors
    drawn = torch.multinomial(torch.ones_like(vectors[:, 0]), count, replacement=count > len(vectors))
    return vectors[processes.first(drawn)]
