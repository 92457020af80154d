"""What a prior sees of codes: vectors, which may begin as those of the codebook."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from voxlex.codes import CodeLayout
from voxlex.nn.blocks import convolution
from voxlex.types import Levels


class CodeEmbedding(nn.Module):
    """One vector for each cell: the sum over its codes, each codebook with a table of its own.

    Args:
        layout: Layout of the codes.
        embedding_dim: Size of the vectors.
    """

    def __init__(self, layout: CodeLayout, *, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layout.num_codebooks, layout.num_embeddings, embedding_dim))

    def forward(self, codes: Int64[Tensor, "b q *cells"]) -> Float[Tensor, "b *cells e"]:
        """Embed the codes of cells."""
        tables = zip(self.weight, codes.unbind(dim=1), strict=True)
        return torch.stack([functional.embedding(chosen, table) for table, chosen in tables]).sum(dim=0)

    @torch.no_grad()
    def start(self, codebook: Float[Tensor, "q k d"]) -> None:
        """Begin with the vectors of the codebooks, each turned its own way so that their sum tells the codes apart."""
        for table, vectors in zip(self.weight, codebook, strict=True):
            table.copy_(turned(vectors, table.shape[1]))


class ContextEmbedding(nn.Module):
    """What each cell of a fine grid sees of the codes of coarser levels.

    It goes from the coarsest level to the finest, at half the width. The codes of a level are embedded and added to the
    features of the level before, which were enlarged to its grid. Residual convolutions follow, like those of the
    conditioning stack of VQ-VAE-2 (Razavi et al., 1906.00446, section 3.2). A last convolution on the fine grid tells
    apart the cells that lie in the same coarse cell.

    Args:
        layouts: Layouts of the coarser levels, at least one, coarsest first.
        grid: The fine grid, with as many axes as theirs.
        width: Channels of the features.

    Raises:
        ValueError: If a grid has another number of axes.
    """

    def __init__(self, layouts: Sequence[CodeLayout], *, grid: Sequence[int], width: int) -> None:
        super().__init__()
        dims = len(grid)
        if strange := [layout.grid for layout in layouts if len(layout.grid) != dims]:
            raise ValueError(f"context: expected grids of {dims} axes, as many as {tuple(grid)} has, got {strange[0]}")
        inner = max(1, width // 2)
        self.grids = [*[tuple(layout.grid) for layout in layouts[1:]], tuple(grid)]
        self.embeddings = nn.ModuleList(CodeEmbedding(layout, embedding_dim=inner) for layout in layouts)
        self.networks = nn.ModuleList(ResidualConvs(inner, spatial_dims=dims) for _ in layouts)
        self.out = convolution(dims, inner, width, 3)

    def forward(self, context: Levels) -> Float[Tensor, "b *grid c"]:
        """Return features of each cell of the fine grid."""
        seen = self.out.weight.new_zeros(())
        for embed, network, codes, finer in zip(self.embeddings, self.networks, context, self.grids, strict=True):
            own = embed(codes).movedim(-1, 1)
            seen = functional.interpolate(network(own + seen), size=finer)
        features: Tensor = self.out(functional.silu(seen))
        return features.movedim(1, -1)


class ResidualConvs(nn.Module):
    """Two convolutions, each after a SiLU, added to their input."""

    def __init__(self, width: int, *, spatial_dims: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.SiLU(), convolution(spatial_dims, width, width, 3), nn.SiLU(), convolution(spatial_dims, width, width, 3)
        )

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        """Return features of the same grid."""
        return x + self.convs(x)


def turned(vectors: Float[Tensor, "k d"], size: int) -> Float[Tensor, "k s"]:
    """Project standardised vectors at random to another size; their distances keep their order, roughly."""
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0).clamp_min(1e-6)
    projection = torch.randn(vectors.shape[1], size, dtype=vectors.dtype, device=vectors.device)
    return standard @ projection / vectors.shape[1] ** 0.5
