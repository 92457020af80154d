"""A masked transformer over code grids: many codes are drawn at once, in a few steps."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from voxlex.nn.attention import TransformerBlock
from voxlex.nn.blocks import convolution
from voxlex.priors.base import Prior, Progress
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import Draw
from voxlex.priors.embedding import CodeEmbedding
from voxlex.priors.unmasking import Hidden, confidence, gumbel_noise, hide_cells, hide_for_likelihood, left_hidden
from voxlex.types import Codes, Logits

DRAWN_AT_ONCE = 4096


class MaskedPrior(Prior):
    exact = False

    def __init__(
        self,
        *,
        num_embeddings: int,
        grid: Sequence[int],
        num_codebooks: int = 1,
        classes: int = 0,
        width: int = 128,
        layers: int = 4,
        heads: int = 2,
        kernel_size: int = 5,
        steps: int = 12,
        condition_dropout: float = 0.1,
        objective: str = "ardm",
        embedding_dim: int = 64,
    ) -> None:
        super().__init__(
            num_embeddings=num_embeddings,
            grid=grid,
            num_codebooks=num_codebooks,
            classes=classes,
            condition_dropout=condition_dropout,
        )
        self.objective = objective
        self.steps = steps
        self.noise = 4.5
        self.likelihood_draws = 16
        self.embedding = CodeEmbedding(
            num_embeddings=num_embeddings, num_codebooks=num_codebooks, embedding_dim=embedding_dim
        )
        self.mask = nn.Parameter(torch.zeros(embedding_dim))
        self.neighbours = convolution(len(self.grid), embedding_dim, width, kernel_size)
        self.position = nn.Parameter(torch.zeros(math.prod(self.grid), width))
        self.class_bias = nn.Embedding(classes + 1, width)
        nn.init.zeros_(self.class_bias.weight)
        self.blocks = nn.ModuleList(
            TransformerBlock(width=width, heads=heads, expansion=4, causal=False) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = DepthHead(width=width, num_embeddings=num_embeddings, num_codebooks=num_codebooks)

    def start(self, codes, codebook=None):
        self._check_codes(codes)
        counts = [torch.bincount(chosen.flatten(), minlength=self.num_embeddings) for chosen in codes.unbind(dim=1)]
        self.head.start(torch.stack(counts), codebook)
        if codebook is not None:
            self.embedding.start(codebook)

    def forward(self, codes, condition=None, hidden=None):
        self._check_codes(codes)
        if hidden is None:
            hidden = torch.ones(len(codes), math.prod(self.grid), dtype=torch.bool, device=codes.device)
        features = self._features(codes, self._context(condition, len(codes)), hidden)
        return self.head(features.unflatten(1, self.grid), codes)

    def code_log_probs(self, codes, condition=None):
        self._check_codes(codes)
        context = self._context(condition, len(codes))
        total = torch.zeros(codes.shape, device=codes.device, dtype=self.mask.dtype)
        for hidden in hide_for_likelihood(codes, self.likelihood_draws):
            weight = hidden.shape[1] / hidden.sum(dim=1) / self.likelihood_draws
            total += (self._scores(codes, context, hidden) * weight[:, None, None]).view(codes.shape)
        return total

    def loss(self, codes, condition=None):
        if not self.training:
            return -self.code_log_probs(codes, condition).mean()
        self._check_codes(codes)
        part = (torch.arange(len(codes), device=codes.device) + torch.rand(len(codes), device=codes.device)) / len(codes)
        cells = math.prod(self.grid)
        if self.objective == "maskgit":
            part = torch.cos(part * math.pi / 2)
        hidden = hide_cells((part * cells).long().clamp(max=cells - 1) + 1, cells)
        scores = self._scores(codes, self._context(condition, len(codes)), hidden)
        if self.objective == "ardm":
            return -(scores.mean(dim=1).sum(dim=1) / hidden.sum(dim=1)).mean()
        return -scores.sum() / hidden.sum() / self.num_codebooks

    def _context(self, condition, n):
        return self.position + self.class_bias(self._resolve_condition(condition, n)).unsqueeze(1)

    def _features(self, codes, context, hidden):
        embedded = self.embedding(codes.flatten(2))
        embedded = torch.where(hidden.unsqueeze(2), self.mask, embedded).unflatten(1, self.grid)
        x = self.neighbours(embedded.movedim(-1, 1)).flatten(2).transpose(1, 2)
        x = x + context.type_as(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def _scores(self, codes, context, hidden) -> Float[Tensor, "b q t"]:
        features = self._features(codes, context, hidden)
        known = self.head.log_probs(features[hidden], codes.flatten(2).transpose(1, 2)[hidden])
        scores = known.new_zeros(*hidden.shape, self.num_codebooks)
        scores[hidden] = known
        return scores.transpose(1, 2)

    def _sample(self, n, condition, draw, progress):
        raise NotImplementedError
