"""Transformer blocks for sequences, and a cache for sequences that grow one element at a time."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_SHORT = 1024
"""Elements of sequences for which plain products in bfloat16 are faster on a CPU than torch's fused attention."""

Sequence = Float[Tensor, "b t c"]


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 1706.03762, section 3.2).

    Args:
        width: Number of channels, a multiple of `heads`.
        heads: Number of heads.
        causal: Whether each element sees only itself and the elements before it.
    """

    def __init__(self, *, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width: expected a multiple of heads, got {width} with {heads} heads")
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Sequence) -> Sequence:
        """Attend over a whole sequence."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = _attend(query, key, value, causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _attend(
    query: Float[Tensor, "b h t d"], key: Float[Tensor, "b h t d"], value: Float[Tensor, "b h t d"], *, causal: bool
) -> Float[Tensor, "b h t d"]:
    """Return the values that queries attend to: softmax(q kᵀ / √d) v."""
    length = query.shape[2]
    if not (query.device.type == "cpu" and query.dtype == torch.bfloat16 and length <= _SHORT):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    hidden = query.new_full((length, length), -math.inf).triu(1) if causal else query.new_zeros(1)
    scores = torch.baddbmm(hidden, query.flatten(0, 1), key.flatten(0, 1).mT, alpha=query.shape[3] ** -0.5)
    return (scores.softmax(dim=-1) @ value.flatten(0, 1)).unflatten(0, query.shape[:2])


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them. The weights of the second start at zero.

    Args:
        width: Number of channels.
        expansion: Number of channels between the layers, in multiples of the width.
    """

    def __init__(self, *, width: int, expansion: int) -> None:
        last = nn.Linear(expansion * width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, expansion * width), nn.GELU(), last)


class TransformerBlock(nn.Module):
    """Attention followed by a feed-forward network, each with a layer norm before it and a residual connection.

    At the start, both add zero. So the block begins as the identity, and learns quickly even at a high learning rate.

    Args:
        width: Number of channels.
        heads: Number of attention heads.
        expansion: Number of channels inside the feed-forward network, in multiples of the width.
        causal: Whether each element sees only itself and the elements before it.
        dropout: Probability that an element of a residual branch is zeroed in training.
    """

    def __init__(self, *, width: int, heads: int, expansion: int, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention = SelfAttention(width=width, heads=heads, causal=causal)
        self.feed_forward_norm = nn.LayerNorm(width, bias=False)
        self.feed_forward = FeedForward(width=width, expansion=expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Sequence) -> Sequence:
        """Apply the block to a sequence."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class BlockCache:
    """Feeds a causal block one element at a time, and stores the keys and values of all elements.

    Args:
        block: The block. Its dropout is not applied.
        n: Number of sequences.
        length: Number of elements in each sequence.
    """

    def __init__(self, block: TransformerBlock, n: int, length: int) -> None:
        self.block = block
        weight = block.attention.out.weight
        heads = block.attention.heads
        self.keys = weight.new_empty(n, heads, length, len(weight) // heads)
        self.values = torch.empty_like(self.keys)

    def push(self, x: Float[Tensor, "n c"], at: int) -> Float[Tensor, "n c"]:
        """Apply the block to element `at`, after all elements before it."""
        attention = self.block.attention
        query, key, value = attention.qkv(self.block.attention_norm(x)).unflatten(1, (3, attention.heads, -1)).unbind(1)
        self.keys[:, :, at] = key
        self.values[:, :, at] = value
        mixed = functional.scaled_dot_product_attention(
            query.unsqueeze(2), self.keys[:, :, : at + 1], self.values[:, :, : at + 1]
        )
        x = x + attention.out(mixed.flatten(1))
        return x + self.block.feed_forward(self.block.feed_forward_norm(x))
