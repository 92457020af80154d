import torch
from torch import nn

from voxlex.priors.likelihood import CHUNK, chunked_log_probs


def test_chunks_change_neither_the_value_nor_the_gradient():
    generator = torch.Generator().manual_seed(0)
    n = 2 * CHUNK + 37
    head = nn.Linear(4, 9).double()
    features = torch.randn(n, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    codes = torch.randint(9, (n,), generator=generator)
    weights = torch.randn(n, dtype=torch.float64, generator=generator)

    chunked = chunked_log_probs(head, features, codes)
    whole = head(features).log_softmax(dim=1)[torch.arange(n), codes]
    torch.testing.assert_close(chunked, whole)

    inputs = [features, head.weight, head.bias]
    torch.testing.assert_close(
        torch.autograd.grad(chunked @ weights, inputs), torch.autograd.grad(whole @ weights, inputs)
    )


def test_half_precision_features_are_scored_in_float32():
    head = nn.Linear(4, 9).bfloat16()
    features = torch.randn(50, 4, dtype=torch.bfloat16)
    codes = torch.randint(9, (50,))
    with torch.no_grad():
        log_probs = chunked_log_probs(head, features, codes)
        expected = head(features).float().log_softmax(dim=1)[torch.arange(50), codes]
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs, expected)
