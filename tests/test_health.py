import pytest
import torch

from voxlex.health import codebook_health
from voxlex.quantizers import FiniteScalarQuantizer, LookupFreeQuantizer, ResidualQuantizer, VectorQuantizer


def test_figures_are_those_of_the_whole_set() -> None:
    quantizer = VectorQuantizer(num_embeddings=4, embedding_dim=2)
    quantizer.codebook.embeddings.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]]))
    codes = torch.tensor([0, 1, 0, 1, 0, 1, 2, 2]).view(2, 1, 2, 2)
    health = codebook_health(quantizer, codes)
    assert health.usage == 0.75
    assert health.dead == 1
    assert health.perplexity == pytest.approx(2 ** (2 * 3 / 8 * 1.4150374992788437 + 2 / 8 * 2))
    assert health.norms == (1, 2, 4)
    assert health.warning is None


def test_a_collapsed_codebook_is_named_with_what_to_try() -> None:
    quantizer = VectorQuantizer(num_embeddings=64, embedding_dim=2)
    health = codebook_health(quantizer, torch.zeros(4, 1, 8, 8, dtype=torch.int64))
    assert health.warning is not None
    assert "perplexity 1 of 64 codewords" in health.warning
    assert "revival_threshold" in health.warning


def test_every_codebook_counts() -> None:
    quantizer = ResidualQuantizer(stages=[VectorQuantizer(num_embeddings=4, embedding_dim=2) for _ in range(2)])
    codes = torch.stack([torch.arange(4).view(2, 2), torch.zeros(2, 2, dtype=torch.int64)]).unsqueeze(0)
    health = codebook_health(quantizer, codes)
    assert health.dead == 3
    assert health.usage == (1 + 0.25) / 2


def test_a_large_vocabulary_needs_no_table_of_its_codewords(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = LookupFreeQuantizer(num_bits=16)
    monkeypatch.setattr(LookupFreeQuantizer, "codewords", lambda _: pytest.fail("a table was made"))
    health = codebook_health(quantizer, torch.arange(16).view(1, 1, 4, 4))
    assert health.norms == (4, 4, 4)
    assert health.dead == 2**16 - 16


def test_a_few_codes_of_a_large_vocabulary_are_no_collapse() -> None:
    quantizer = FiniteScalarQuantizer(levels=(8, 5, 5, 5))
    assert codebook_health(quantizer, torch.arange(16).view(1, 1, 4, 4)).warning is None
