"""The gated PixelCNN: an autoregressive prior over two-dimensional code grids."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from voxlex.priors.base import Prior, Progress
from voxlex.priors.decoding import StacksCache
from voxlex.priors.draw import Draw
from voxlex.priors.likelihood import chunked_log_probs
from voxlex.priors.stacks import GatedStacks
from voxlex.types import Codes, Logits


class GatedPixelCNN(Prior):
    """Conditional gated PixelCNN (van den Oord et al., 1606.05328), the prior of the VQ-VAE paper.

    Codes are drawn in raster order: p(codes) = Π p(code | the rows above, the codes to its left). A vertical stack sees
    the rows above, a horizontal stack the codes to the left and the vertical stack, so that together they see every
    earlier code within reach: no blind spot. Beyond the paper it has a learned map of positions, since brains lie in
    the middle of their image, and skip connections from every layer to the output.

    Args:
        num_embeddings: Size K of the codebook.
        grid: Code grid (h, w).
        num_codebooks: Codes in each cell; only 1 is supported.
        classes: Number of condition classes; 0 for an unconditional prior.
        width: Channels of each stack.
        layers: Gated layers after the first convolution.
        kernel_size: Side of the layers' kernels; odd, at least 3.
        embedding_dim: Size of the vectors that stand for the codes at the input.
        dropout: Share of each layer's gated features zeroed in training, in [0, 1).
        condition_dropout: Share of training images whose class is hidden, in [0, 1).

    Raises:
        ValueError: An argument out of its range.
    """

    first_kernel_size = 7

    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        classes: int = 0,
        width: int = 64,
        layers: int = 6,
        kernel_size: int = 3,
        embedding_dim: int = 64,
        dropout: float = 0.0,
        condition_dropout: float = 0.1,
    ) -> None:
        super().__init__(
            num_embeddings=num_embeddings,
            grid=grid,
            num_codebooks=num_codebooks,
            classes=classes,
            condition_dropout=condition_dropout,
        )
        if len(self.grid) != 2:
            raise ValueError(f"GatedPixelCNN needs a grid of two axes, not {self.grid}")
        if num_codebooks != 1:
            raise ValueError(f"GatedPixelCNN models one codebook per cell, not {num_codebooks}")
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, not {kernel_size}")
        if min(width, layers, embedding_dim) < 1:
            raise ValueError(
                f"width, layers and embedding_dim must be positive, not {width}, {layers}, {embedding_dim}"
            )
        self.embedding = nn.Embedding(num_embeddings, embedding_dim)
        self.stacks = GatedStacks(
            in_channels=embedding_dim,
            grid=self.grid,
            width=width,
            layers=layers,
            kernel_size=kernel_size,
            first_kernel_size=self.first_kernel_size,
            rows=classes + 1,
            dropout=dropout,
        )
        self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, num_embeddings)

    @torch.no_grad()
    def start(self, codes: Codes, codebook: Float[Tensor, "q k d"] | None = None) -> None:
        """Before training, make the output the empirical marginal, and let codes with like vectors begin alike.

        The codebook's standardised vectors, turned at random, become the embeddings and, small, the rows of the output
        layer; training moves both on from there. The turn is drawn from torch's own generator, as initial weights are.

        Raises:
            CodesError: The codes are out of range, or not of this prior's grid.
            ValueError: The codebook has not one vector for each code.
        """
        self._check_codes(codes)
        if codebook is not None and codebook.shape[:2] != (1, self.num_embeddings):
            raise ValueError(f"expected a codebook (1, {self.num_embeddings}, d), got {tuple(codebook.shape)}")
        counts = torch.bincount(codes.flatten(), minlength=self.num_embeddings)
        # Half a count each keeps codes that these images happen to lack possible.
        self.head.bias.copy_((counts + 0.5).log().log_softmax(dim=0))
        if codebook is not None:
            self.embedding.weight.copy_(_turned(codebook[0], self.embedding.embedding_dim))
            self.head.weight.copy_(0.1 * _turned(codebook[0], self.head.in_features))

    def forward(self, codes: Codes, condition: Int64[Tensor, "b"] | None = None) -> Logits:
        """Teacher-forced logits; see `Prior.forward`."""
        return self._to_logits(self._features(codes, condition)).movedim(-1, 1).unsqueeze(2)

    def code_log_probs(self, codes: Codes, condition: Int64[Tensor, "b"] | None = None) -> Float[Tensor, "b q *grid"]:
        """Log-probability of each code given the codes before it, in nats, holding few logits at a time."""
        features = self._features(codes, condition)
        return chunked_log_probs(self._to_logits, features.flatten(0, 2), codes.flatten()).view(codes.shape)

    def _features(self, codes: Codes, condition: Int64[Tensor, "b"] | None) -> Float[Tensor, "b h w d"]:
        """What the output layer sees of each cell."""
        self._check_codes(codes)
        rows = self._resolve_condition(condition, len(codes))
        embedded = self.embedding(codes.squeeze(1)).movedim(-1, 1)
        return self.stacks(embedded, rows).movedim(1, -1)

    def _to_logits(self, to_output: Float[Tensor, "*cells c"]) -> Float[Tensor, "*cells k"]:
        """Logits from the sum of all skip connections."""
        return self.head(functional.silu(self.mix(functional.silu(to_output))))

    def _sample(
        self, n: int, condition: Int64[Tensor, "n"] | None, draw: Draw, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        height, width = self.grid
        cache = StacksCache(self.stacks, width, self._resolve_condition(condition, n))
        nothing = self.embedding.weight.new_zeros(n, self.embedding.embedding_dim)
        above = nothing.unsqueeze(2).expand(-1, -1, width)
        codes = torch.empty((n, height, width), dtype=torch.int64, device=self.device)
        for i in range(height):
            cache.push_row(above, i)
            left = nothing
            for j in range(width):
                codes[:, i, j] = draw(self._to_logits(cache.push_cell(left, j)))
                left = self.embedding(codes[:, i, j])
            above = self.embedding(codes[:, i]).movedim(-1, 1)
            if progress is not None:
                progress((i + 1) * width, height * width)
        return codes.unsqueeze(1)


def _turned(vectors: Float[Tensor, "k d"], size: int) -> Float[Tensor, "k s"]:
    """Random projection of standardised vectors to another size; distances keep their order, roughly."""
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0).clamp_min(1e-6)
    projection = torch.randn(vectors.shape[1], size, dtype=vectors.dtype, device=vectors.device)
    return standard @ projection / vectors.shape[1] ** 0.5
