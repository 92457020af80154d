"""A decoder-only transformer over the cells of code grids, in two or three dimensions."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from voxlex.nn.attention import BlockCache, TransformerBlock
from voxlex.priors.base import Prior, Progress
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import Draw
from voxlex.priors.embedding import CodeEmbedding
from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.types import Codes, Logits


class TransformerPrior(Prior):
    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        classes: int = 0,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        kernel_size: int = 5,
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
        self.embedding = CodeEmbedding(
            num_embeddings=num_embeddings, num_codebooks=num_codebooks, embedding_dim=embedding_dim
        )
        self.neighbours = EarlierNeighbours(
            in_channels=embedding_dim, out_channels=width, grid=self.grid, kernel_size=kernel_size
        )
        self.position = nn.Parameter(torch.zeros(math.prod(self.grid), width))
        self.class_bias = nn.Embedding(classes + 1, width)
        nn.init.zeros_(self.class_bias.weight)
        self.blocks = nn.ModuleList(
            TransformerBlock(width=width, heads=heads, expansion=4, causal=True, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = DepthHead(width=width, num_embeddings=num_embeddings, num_codebooks=num_codebooks)

    def start(self, codes, codebook=None):
        self._check_codes(codes)
        counts = [torch.bincount(chosen.flatten(), minlength=self.num_embeddings) for chosen in codes.unbind(dim=1)]
        self.head.start(torch.stack(counts), codebook)
        if codebook is not None:
            self.embedding.start(codebook)

    def forward(self, codes, condition=None):
        return self.head(self._features(codes, condition), codes)

    def code_log_probs(self, codes, condition=None):
        return self.head.log_probs(self._features(codes, condition), codes)

    def _features(self, codes, condition):
        self._check_codes(codes)
        rows = self._resolve_condition(condition, len(codes))
        x = self.neighbours(self.embedding(codes))
        x = x + (self.position + self.class_bias(rows).unsqueeze(1)).type_as(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).unflatten(1, self.grid)

    def _sample(self, n, condition, draw, progress):
        raise NotImplementedError
