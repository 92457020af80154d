import math

import pytest
import torch
from torch import Tensor

from voxlex.quantizers.codebook import Codebook, EMACodebook, LearnedCodebook
from voxlex.quantizers.search import nearest


def assign(codebook: Codebook, vectors: Tensor) -> Tensor:
    return nearest(vectors, codebook.codewords())


def ema(**changes: object) -> EMACodebook:
    settings = {"start": "data", "decay": 0.9, "revival_threshold": 0.0} | changes
    return EMACodebook(num_embeddings=4, embedding_dim=2, **settings)


def test_ema_is_the_debiased_running_mean_of_the_assigned_vectors() -> None:
    codebook = ema()
    steps = [(torch.randn(50, 2), torch.randint(0, 3, (50,))) for _ in range(200)]
    for vectors, codes in steps:
        codebook.learn(vectors, codes)
    decays = [min(0.9, (1 + t) / (10 + t)) for t in range(len(steps))]
    weights = [(1 - decays[t]) * math.prod(decays[t + 1 :]) for t in range(len(steps))]
    for k in range(3):
        total = sum(w * v[c == k].double().sum(0) for w, (v, c) in zip(weights, steps, strict=True))
        count = sum(w * int((c == k).sum()) for w, (_, c) in zip(weights, steps, strict=True))
        torch.testing.assert_close(codebook.embeddings[k].double(), total / count, rtol=1e-5, atol=1e-6)


def test_an_unused_codeword_keeps_its_place_exactly() -> None:
    codebook = ema()
    before = codebook.embeddings[3].clone()
    for _ in range(1000):
        codebook.learn(torch.randn(8, 2), torch.randint(0, 3, (8,)))
    assert torch.equal(codebook.embeddings[3], before)


def test_starts_at_vectors_of_the_first_batch_only() -> None:
    codebook = ema()
    first = torch.randn(10, 2)
    codebook.start(first)
    assert all((first == codeword).all(dim=1).any() for codeword in codebook.embeddings)
    assert len(codebook.embeddings.unique(dim=0)) == 4
    codebook.learn(first, assign(codebook, first))
    learned = codebook.embeddings.clone()
    codebook.start(torch.randn(10, 2))
    assert torch.equal(codebook.embeddings, learned)


def test_starts_with_fewer_vectors_than_codewords() -> None:
    codebook = ema()
    codebook.start(torch.ones(1, 2))
    assert torch.equal(codebook.embeddings, torch.ones(4, 2))


@pytest.mark.parametrize("kind", [EMACodebook, LearnedCodebook])
def test_a_dead_codeword_comes_back_where_it_is_needed_and_stays_there(
    kind: type[EMACodebook | LearnedCodebook],
) -> None:
    codebook = kind(num_embeddings=2, embedding_dim=1, start="data", decay=0.9, revival_threshold=0.1)
    codebook.start(torch.zeros(8, 1))
    vectors = torch.tensor([[0.0], [0.01], [0.0], [9.0]])
    for _ in range(60):
        codebook.learn(vectors, assign(codebook, vectors))
    assert sorted(round(float(e)) for e in codebook.embeddings.detach()) == [0, 9]
    assert assign(codebook, vectors).unique().numel() == 2


def test_a_revived_codeword_is_not_pulled_back_by_stale_sums() -> None:
    codebook = ema(revival_threshold=0.1)
    for _ in range(20):
        codebook.learn(torch.randn(4, 2), torch.tensor([0, 0, 0, 0]))
    place = torch.tensor([6.0, 6.0])
    for _ in range(100):
        codebook.learn(place.expand(4, 2), torch.tensor([1, 1, 1, 1]))
        if torch.equal(codebook.embeddings[0], place):
            break  # revived a moment ago
    else:
        pytest.fail("the codeword was not revived")
    codebook.learn(torch.full((4, 2), 5.0), torch.tensor([0, 0, 0, 0]))
    torch.testing.assert_close(codebook.embeddings[0], torch.tensor([5.0, 5.0]))


def test_vectors_that_are_left_out_count_as_if_they_were_not_there() -> None:
    vectors, usable = torch.randn(60, 2), torch.arange(60) % 3 > 0
    some, all_given = ema(revival_threshold=0.0), ema(revival_threshold=0.0)
    for codebook in (some, all_given):
        codebook.start(vectors[usable])
        codebook.embeddings.copy_(torch.eye(4)[:, :2])
    spoilt = vectors.masked_fill(~usable.unsqueeze(1), torch.nan)
    for _ in range(3):
        some.learn(vectors[usable], assign(some, vectors[usable]))
        all_given.learn(spoilt, assign(all_given, spoilt), usable)
    for name, value in some.state_dict().items():
        torch.testing.assert_close(all_given.state_dict()[name], value, msg=name)


def test_a_step_without_usable_vectors_changes_nothing() -> None:
    codebook = ema()
    codebook.start(torch.randn(8, 2))
    codebook.learn(torch.randn(8, 2), torch.arange(8) % 4)
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    codebook.learn(torch.randn(8, 2), torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.bool))
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())


def test_many_dead_codewords_are_revived_in_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxlex.quantizers.codebook._MOST_REVIVED", 10)
    codebook = EMACodebook(num_embeddings=64, embedding_dim=2, start="data", decay=0.9, revival_threshold=0.1)
    codebook.start(torch.zeros(64, 2))
    moved = 0
    for _ in range(400):
        before = codebook.embeddings.clone()
        vectors = torch.randn(64, 2)
        codebook.learn(vectors, torch.zeros(64, dtype=torch.int64))
        changed = (codebook.embeddings != before).any(dim=1)[1:]
        assert changed.sum() <= 10
        moved += int(changed.sum())
    assert moved >= 63


@pytest.mark.parametrize("changes", [{"decay": 1.0}, {"decay": -0.1}, {"revival_threshold": 1.0}])
def test_refuses_arguments_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        ema(**changes)
