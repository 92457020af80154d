"""From the features of a cell to its codes, one codebook after the other."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from voxlex.priors.embedding import turned
from voxlex.priors.likelihood import chunked_log_probs
from voxlex.types import Codes, Logits


class DepthHead(nn.Module):
    """Exact distribution of the q codes of a cell: p(c_1 … c_q | x) = Π_j p(c_j | x, c_1 … c_{j-1}).

    What is known of a cell begins as its features x and grows by an embedding of each code, as in the depth
    transformer of Lee et al. (2203.01941, section 3.2); a small network of its own turns it into the logits of each
    codebook. All are teacher-forced at once for a likelihood, and follow one another in a draw.

    Args:
        width: Size of the features.
        num_embeddings: Size K of each codebook.
        num_codebooks: Codes q in each cell.
    """

    def __init__(self, *, width: int, num_embeddings: int, num_codebooks: int) -> None:
        super().__init__()
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, num_embeddings))
            for _ in range(num_codebooks)
        )
        # The last code of a cell is not seen within it.
        self.embeddings = nn.ModuleList(nn.Embedding(num_embeddings, width) for _ in range(num_codebooks - 1))

    def forward(self, features: Float[Tensor, "b *grid c"], codes: Codes) -> Logits:
        """Teacher-forced logits of each code of each cell."""
        known = self._known(features, codes)
        return torch.stack([output(seen) for output, seen in zip(self.outputs, known, strict=True)], 1).movedim(-1, 1)

    def log_probs(self, features: Float[Tensor, "b *grid c"], codes: Codes) -> Float[Tensor, "b q *grid"]:
        """Log-probability of each code given the codes before it, in nats, holding few logits at a time."""
        steps = zip(self.outputs, self._known(features, codes), codes.unbind(dim=1), strict=True)
        scores = [
            chunked_log_probs(output, seen.flatten(0, -2), chosen.flatten()).view(chosen.shape)
            for output, seen, chosen in steps
        ]
        return torch.stack(scores, dim=1)

    def draw(self, features: Float[Tensor, "n c"], choose: Callable[[Tensor], Tensor]) -> Int64[Tensor, "n q"]:
        """Codes of cells; `choose` takes the logits `(n, k)` of one codebook and returns codes `(n,)`."""
        codes: list[Tensor] = []
        for depth, output in enumerate(self.outputs):
            if depth:
                features = features + self.embeddings[depth - 1](codes[-1])
            codes.append(choose(output(features)))
        return torch.stack(codes, dim=1)

    @torch.no_grad()
    def start(self, counts: Int64[Tensor, "q k"], codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Make the output the marginal of each codebook, and let codes with like vectors begin alike."""
        for depth, output in enumerate(self.outputs):
            last = cast(nn.Linear, cast(nn.Sequential, output)[-1])
            # Half a count each keeps codes that were not seen possible.
            last.bias.copy_((counts[depth] + 0.5).log().log_softmax(dim=0))
            if codebook is not None:
                last.weight.copy_(0.1 * turned(codebook[depth], last.in_features))
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
