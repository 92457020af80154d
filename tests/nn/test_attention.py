import pytest
import torch
from torch.nn import functional

from voxlex.nn.attention import BlockCache, FeedForward, SelfAttention, TransformerBlock


def shaken(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.double().eval()


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_that_of_its_formula(causal):
    attention = shaken(SelfAttention(width=6, heads=3, causal=causal))
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    query, key, value = (x @ weight.T for weight in attention.qkv.weight.chunk(3))
    heads = []
    for head in (slice(0, 2), slice(2, 4), slice(4, 6)):
        scores = query[..., head] @ key[..., head].transpose(1, 2) / 2**0.5
        if causal:
            scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        heads.append(scores.softmax(dim=-1) @ value[..., head])
    torch.testing.assert_close(attention(x), torch.cat(heads, dim=-1) @ attention.out.weight.T)


def test_the_feed_forward_network_is_that_of_its_formula():
    network = shaken(FeedForward(width=3, expansion=4))
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    inside = functional.gelu(x @ network[0].weight.T + network[0].bias)
    assert inside.shape[-1] == 12
    torch.testing.assert_close(network(x), inside @ network[2].weight.T + network[2].bias)


def test_a_new_block_is_the_identity():
    x = torch.randn(2, 5, 6)
    assert torch.equal(TransformerBlock(width=6, heads=2, expansion=2, causal=True)(x), x)


def test_a_causal_block_does_not_look_ahead():
    block = shaken(TransformerBlock(width=6, heads=2, expansion=2, causal=True))
    x = torch.randn(1, 5, 6, dtype=torch.float64)
    changed = x.clone()
    changed[0, 2] = torch.randn(6)  # adding a constant would not pass the normalisation
    moved = (block(changed) != block(x)).any(dim=2)[0]
    assert moved.tolist() == [False, False, True, True, True]


def test_the_cache_gives_what_the_whole_sequence_does():
    block = shaken(TransformerBlock(width=6, heads=2, expansion=2, causal=True, dropout=0.5))
    x = torch.randn(3, 7, 6, dtype=torch.float64)
    cache = BlockCache(block, 3, 7)
    one_by_one = torch.stack([cache.push(element, at) for at, element in enumerate(x.unbind(dim=1))], dim=1)
    torch.testing.assert_close(one_by_one, block(x))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="expected a multiple of heads, got 6 with 4 heads"):
        SelfAttention(width=6, heads=4, causal=True)
