"""One step of sampling from a prior, as modules of tensors alone, for graphs that run without voxlex.

Each computes the logits that `forward` of the prior gives. A step draws the codes of one codebook at a time: those of
the next codebook of a cell depend on them, and are asked for again.
"""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from voxlex.nn.attention import TransformerBlock
from voxlex.priors.level import Given, Level
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.transformer import TransformerPrior
from voxlex.types import Codes, LevelCodes

Cell = Int64[Tensor, "1"]
"""Number of a cell in raster order."""

Cache = Float[Tensor, "b l h s e"]
"""Keys or values of each layer, head and segment."""


class Step(nn.Module):
    """One step of the prior of a level.

    Args:
        level: In eval mode.
    """

    def __init__(self, level: Level) -> None:
        super().__init__()
        self.level = level

    def _given(self, condition: Float[Tensor, "b _"], context: tuple[LevelCodes, ...]) -> Given:
        embed = self.level.context_embedding
        return Given(self.level.conditioning(condition), None if embed is None else embed(context))


class NextStep(Step):
    """The codes of the next cell from those of all cells before it; the whole network runs in each step."""

    def forward(
        self, codes: Codes, cell: Cell, condition: Float[Tensor, "b _"], *context: LevelCodes
    ) -> Float[Tensor, "b q k"]:
        """Return the logits of the codes of a cell; codes of later cells may be any."""
        features = self.level._features(codes, self._given(condition, context))
        return _at_cell(self.level, features.flatten(1, -2).index_select(1, cell), codes, cell)


class CachedStep(Step):
    """The codes of the next cell from those of all cells before it, with the keys and values of earlier segments.

    Keys and values begin as zeros. A step writes those of the segment of its cell, which are the same for all cells of
    the segment.

    Args:
        level: In eval mode.
    """

    def __init__(self, level: TransformerPrior) -> None:
        super().__init__(level)
        self.prior = level

    @property
    def cache_shape(self) -> tuple[int, int, int, int]:
        """Layers, heads, segments and size of a key."""
        segments = self.prior.segments
        heads = cast(TransformerBlock, segments.blocks[0]).attention.heads
        length, width = segments.segment_position.shape
        return len(segments.blocks), heads, length, width // heads

    def forward(
        self,
        codes: Codes,
        cell: Cell,
        condition: Float[Tensor, "b _"],
        keys: Cache,
        values: Cache,
        *context: LevelCodes,
    ) -> tuple[Float[Tensor, "b q k"], Cache, Cache]:
        """Return the logits of the codes of a cell, and the keys and values for the next step."""
        prior, given = self.prior, self._given(condition, context)
        span = prior.segments.span
        segment = cell // span
        embedded = functional.pad(prior.embedding(codes.flatten(2)), (0, 0, 0, 1))  # zeros lie beyond the grid
        near = prior.neighbours.at(embedded, cell)
        so_far = prior.segment_neighbours.at(embedded, segment)
        if given.context is not None:
            cells, segments = prior._from_context(given.context)
            near = near + cells.index_select(1, cell).squeeze(1)
            so_far = so_far + segments.index_select(1, segment).squeeze(1)
        far, keys, values = self._push(so_far, segment, given.condition, keys, values)
        known = near.unsqueeze(1) + far.index_select(1, cell % span)
        return _at_cell(prior, known, codes, cell), keys, values

    def _push(
        self, x: Float[Tensor, "b c"], segment: Cell, condition: Float[Tensor, "b c"], keys: Cache, values: Cache
    ) -> tuple[Float[Tensor, "b p c"], Cache, Cache]:
        """Return features of the cells of a segment, as `SegmentCache.push` does, with tensors as the cache."""
        segments = self.prior.segments
        places = torch.arange(len(segments.segment_position), device=x.device)
        here, seen = (places == segment).view(-1, 1), places <= segment
        x = x + segments.segment_position.index_select(0, segment) + segments.condition_bias(condition)
        new_keys, new_values = [], []
        for number, module in enumerate(segments.blocks):
            block = cast(TransformerBlock, module)
            attention = block.attention
            query, key, value = (
                attention.qkv(block.attention_norm(x)).unflatten(1, (3, attention.heads, 1, -1)).unbind(1)
            )
            key = torch.where(here, key, keys[:, number])
            value = torch.where(here, value, values[:, number])
            mixed = _attended(query, key, value, seen)
            x = x + attention.out(mixed.flatten(1))
            x = x + block.feed_forward(block.feed_forward_norm(x))
            new_keys.append(key)
            new_values.append(value)
        features = segments.to_cells(segments.norm(x)).unflatten(1, (segments.span, -1))
        features = features + segments.cell_position.index_select(0, segment)
        return features, torch.stack(new_keys, dim=1), torch.stack(new_values, dim=1)


class UnmaskingStep(Step):
    """The codes of all cells from those of the cells that are not hidden.

    Args:
        level: In eval mode.
    """

    def __init__(self, level: MaskedPrior) -> None:
        super().__init__(level)
        self.prior = level

    def forward(
        self, codes: Codes, hidden: Bool[Tensor, "b *grid"], condition: Float[Tensor, "b _"], *context: LevelCodes
    ) -> Float[Tensor, "b q *grid k"]:
        """Return the logits of the codes of every cell; codes of hidden cells may be any."""
        features = self.prior._seeing(codes, self._given(condition, context), hidden.flatten(1))
        return self.prior.head(features, codes).movedim(1, -1)


def step_of(level: Level) -> NextStep | CachedStep | UnmaskingStep:
    """Return the step of sampling that suits a prior."""
    if isinstance(level, TransformerPrior):
        return CachedStep(level)
    return UnmaskingStep(level) if isinstance(level, MaskedPrior) else NextStep(level)


def _at_cell(level: Level, features: Float[Tensor, "b 1 c"], codes: Codes, cell: Cell) -> Float[Tensor, "b q k"]:
    logits = level.head(features, codes.flatten(2).index_select(2, cell))
    return logits.squeeze(3).movedim(1, -1)


def _attended(
    query: Float[Tensor, "b h 1 e"],
    key: Float[Tensor, "b h s e"],
    value: Float[Tensor, "b h s e"],
    seen: Bool[Tensor, " s"],
) -> Float[Tensor, "b h 1 e"]:
    scores = (query @ key.mT) * query.shape[3] ** -0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(dim=3) @ value
