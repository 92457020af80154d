"""What a prior sees of codes: vectors, which may begin as those of the codebook."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional


class CodeEmbedding(nn.Module):
    """One vector for each cell: the sum over its codes, each codebook with a table of its own.

    Args:
        num_embeddings: Size K of each codebook.
        num_codebooks: Codes q in each cell.
        embedding_dim: Size of the vectors.
    """

    def __init__(self, *, num_embeddings: int, num_codebooks: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_codebooks, num_embeddings, embedding_dim))

    def forward(self, codes: Int64[Tensor, "b q *cells"]) -> Float[Tensor, "b *cells e"]:
        """Embed the codes of cells."""
        tables = zip(self.weight, codes.unbind(dim=1), strict=True)
        return torch.stack([functional.embedding(chosen, table) for table, chosen in tables]).sum(dim=0)

    @torch.no_grad()
    def start(self, codebook: Float[Tensor, "q k d"]) -> None:
        """Begin with the vectors of the codebooks, each turned its own way so that their sum tells the codes apart."""
        for table, vectors in zip(self.weight, codebook, strict=True):
            table.copy_(turned(vectors, table.shape[1]))


def turned(vectors: Float[Tensor, "k d"], size: int) -> Float[Tensor, "k s"]:
    """Random projection of standardised vectors to another size; distances keep their order, roughly."""
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0).clamp_min(1e-6)
    projection = torch.randn(vectors.shape[1], size, dtype=vectors.dtype, device=vectors.device)
    return standard @ projection / vectors.shape[1] ** 0.5
