"""From the features of a cell to its codes, one codebook after the other."""

import math
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from voxlex.codes import CodeLayout
from voxlex.priors.draw import Cells, Draw
from voxlex.priors.embedding import turned
from voxlex.priors.grouped import GroupedSoftmax
from voxlex.types import Codes, Logits

CHUNK = 1024
"""Codes scored or drawn at a time: with K = 1024 their float32 logits are 4 MiB, about what a cache of a core holds."""

KEPT = 2**24
"""Logits that are kept for the gradient: 64 MiB in float32."""

Head = Callable[[Tensor], Tensor]
"""From features `(n, d)` to logits `(n, k)`."""


class DepthHead(nn.Module):
    """Exact distribution of the q codes of a cell: p(c_1 … c_q | x) = Π_j p(c_j | x, c_1 … c_{j-1}).

    The features of the cell come first, and an embedding of each code is added to them, as in the depth transformer of
    Lee et al. (2203.01941, section 3.2). Each codebook has a small network that turns the sum into its logits. A
    likelihood computes all codebooks at once, teacher-forced; a draw goes through them one after the other.

    Args:
        layout: Layout of the codes.
        width: Size of the features.
        grouped: Choose a code in two steps, by a `GroupedSoftmax`.
    """

    def __init__(self, layout: CodeLayout, *, width: int, grouped: bool = False) -> None:
        super().__init__()
        k = layout.num_embeddings
        self.outputs = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                GroupedSoftmax(k, width=width) if grouped else nn.Linear(width, k),
            )
            for _ in range(layout.num_codebooks)
        )
        # The last code of a cell is not seen within it.
        seen = range(layout.num_codebooks - 1)
        self.embeddings = nn.ModuleList(nn.Embedding(layout.num_embeddings, width) for _ in seen)

    def forward(self, features: Float[Tensor, "b *grid c"], codes: Codes) -> Logits:
        """Return the teacher-forced logits of each code of each cell."""
        known = self._known(features, codes)
        return torch.stack([output(seen) for output, seen in zip(self.outputs, known, strict=True)], 1).movedim(-1, 1)

    def log_probs(self, features: Float[Tensor, "b *grid c"], codes: Codes) -> Float[Tensor, "b q *grid"]:
        """Return the log-probability of each code given the codes before it, in nats, with few logits in memory."""
        steps = zip(self.outputs, self._known(features, codes), codes.unbind(dim=1), strict=True)
        scores = [
            _output_log_probs(cast(nn.Sequential, output), seen.flatten(0, -2), chosen.flatten()).view(chosen.shape)
            for output, seen, chosen in steps
        ]
        return torch.stack(scores, dim=1)

    def draw(self, features: Float[Tensor, "n *m c"], draw: Draw, *, cells: Cells) -> Int64[Tensor, "n q *m"]:
        """Let `draw` choose the codes of cells, one codebook after the other and the cells in order."""
        codes: list[Tensor] = []
        for codebook, output in enumerate(self.outputs):
            if codebook:
                features = features + self.embeddings[codebook - 1](codes[-1])
            if isinstance(cells, int):
                codes.append(draw(output(features), codebook=codebook, cells=cells))
                continue
            at_once = max(1, CHUNK // len(features))
            pieces = zip(features.split(at_once, dim=1), cells.split(at_once, dim=1), strict=True)
            codes.append(torch.cat([draw(output(some), codebook=codebook, cells=own) for some, own in pieces], dim=1))
        return torch.stack(codes, dim=1)

    def expected(self, features: Float[Tensor, "n c"], vectors: Float[Tensor, "k d"]) -> Float[Tensor, "n d"]:
        """Return the mean of the vectors of the codes of the first codebook, weighted by their probability."""
        output = self.outputs[0]
        return torch.cat([output(some).softmax(dim=1) @ vectors for some in features.split(CHUNK)])

    @torch.no_grad()
    def start(self, counts: Int64[Tensor, "q k"], codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Make the output the marginal of each codebook, and let codes with like vectors begin alike."""
        for depth, output in enumerate(self.outputs):
            last = cast(nn.Linear | GroupedSoftmax, list(output.children())[-1])
            # Half a count each keeps codes that were not seen possible.
            log_probs = (counts[depth] + 0.5).log().log_softmax(dim=0)
            weight = None if codebook is None else 0.1 * turned(codebook[depth], last.in_features)
            if isinstance(last, GroupedSoftmax):
                last.start(log_probs, weight)
                continue
            last.bias.copy_(log_probs)
            if weight is not None:
                last.weight.copy_(weight)
        if codebook is not None:
            for embedding, vectors in zip(self.embeddings, codebook[:-1], strict=True):
                weight = cast(nn.Embedding, embedding).weight
                weight.copy_(turned(vectors, weight.shape[1]))

    def _known(self, features: Float[Tensor, "b *grid c"], codes: Codes) -> list[Float[Tensor, "b *grid c"]]:
        """What each codebook's network sees."""
        known = [features]
        for embedding, chosen in zip(self.embeddings, codes[:, :-1].unbind(dim=1), strict=True):
            known.append(known[-1] + embedding(chosen).type_as(features))
        return known


def _output_log_probs(output: nn.Sequential, features: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> Tensor:
    last = output[-1]
    if isinstance(last, GroupedSoftmax):
        return last.log_probs(output[:-1](features), codes)
    return chunked_log_probs(output, features, codes)


def chunked_log_probs(head: Head, features: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return the log-probability of each code under the softmax of `head(features)`, in nats and at least float32.

    The logits of a batch are by far its largest tensor: 128 MiB for 32 images of 32×32 codes with K = 1024, and several
    times that with gradients. They are made a chunk at a time. Up to `KEPT` are kept for the gradient; the others are
    made again, which takes half as much time again.
    """
    room = KEPT if torch.is_grad_enabled() else math.inf
    scored: list[Tensor] = []
    for some, chosen in zip(features.split(CHUNK), codes.split(CHUNK), strict=True):
        if room <= 0:
            scored.append(checkpoint(_scored, head, some, chosen, use_reentrant=False, preserve_rng_state=False))
            continue
        logits = head(some)
        room -= logits.numel()
        scored.append(_log_probs(logits, chosen))
    return torch.cat(scored)


def _scored(head: Head, features: Tensor, codes: Tensor) -> Tensor:
    return _log_probs(head(features), codes)


def _log_probs(logits: Tensor, codes: Tensor) -> Tensor:
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -functional.cross_entropy(precise, codes, reduction="none")
