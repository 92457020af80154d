"""Of equal codewords the lowest index wins, however the search is done and wherever the codewords stand.

On some processors the last bits of a matrix product depend on the place in it. Here they do so everywhere.
"""

from collections.abc import Callable, Iterator
from itertools import product

import jaxtyping
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxlex import quantizers
from voxlex.quantizers import GumbelQuantizer, Quantizer, ResidualQuantizer, SimVQ, VectorQuantizer, equals
from voxlex.quantizers.equals import first_of_equals
from voxlex.quantizers.search import nearest


def rounded_by_place(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same product, but its elements change by up to two units in the last place, each in another way."""

    def changed(*arguments: Tensor, **options: Tensor) -> Tensor:
        result = product(*arguments, **options)
        return result.mul_(1 + 2**-22 * torch.arange(result.numel()).sin().view_as(result))

    return changed


@pytest.fixture(autouse=True)
def products_that_round_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "addmm", rounded_by_place(torch.addmm))
    monkeypatch.setattr(F, "linear", rounded_by_place(F.linear))


Search = Callable[[Tensor, Tensor], Tensor]


class Exported(nn.Module):
    def forward(self, vectors: Tensor, codebook: Tensor) -> Tensor:
        return nearest(vectors, codebook)


def by_exported_graph(vectors: Tensor, codebook: Tensor) -> Tensor:
    return torch.export.export(Exported(), (vectors, codebook)).module()(vectors, codebook)


WAYS = ("compiled", "tiles", "operator", "exported")


@pytest.fixture(params=WAYS)
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    """The ways to search on a CPU."""
    if request.param == "tiles":
        monkeypatch.setattr(quantizers.search, "_compiled", lambda: None)
    # The checks that the tests put on every function cannot be traced into a graph.
    jaxtyping.config.update("jaxtyping_disable", request.param == "exported")
    yield {"operator": torch.ops.voxlex.nearest, "exported": by_exported_graph}.get(request.param, nearest)
    jaxtyping.config.update("jaxtyping_disable", False)


def first_equal(codebook: Tensor) -> Tensor:
    """For each codeword, the index of the first one equal to it, from all comparisons."""
    return torch.stack([(codebook == codeword).all(dim=1).int().argmax() for codeword in codebook])


def around(codebook: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Vectors near codewords, but not on them, so that scores are rounded; and the codewords they are near."""
    near = torch.randint(len(codebook), (n,))
    return codebook[near] + 1e-3 * torch.randn(n, codebook.shape[1], dtype=codebook.dtype), near


ANY_SIZE = list(product((2, 33, 100, 1025), (1, 3, 8, 17, 64), (1, 77, 600)))
FEW_SIZES = [(2, 1, 1), (33, 3, 77), (100, 17, 1), (1025, 64, 600)]  # each takes a graph of its own


@pytest.mark.parametrize(
    ("search", "k", "d", "n"),
    [(way, *size) for way in WAYS for size in (FEW_SIZES if way == "exported" else ANY_SIZE)],
    indirect=["search"],
)
def test_equal_codewords_anywhere(search: Search, k: int, d: int, n: int) -> None:
    different = 10 * torch.randperm((k + 2) // 3).unsqueeze(1) + torch.randn(1, d)
    codebook = different[torch.randint(len(different), (k,))]
    vectors, near = around(codebook, n)
    assert torch.equal(search(vectors, codebook), first_equal(codebook)[near])


@pytest.mark.parametrize("order", ["runs", "rounds", "mirrored", "only the ends"])
def test_equal_codewords_in_any_order(search: Search, order: str) -> None:
    different = torch.randn(300, 32)
    codebook = {
        "runs": different.repeat_interleave(4, dim=0),
        "rounds": different.repeat(4, 1),
        "mirrored": torch.cat([different, different.flip(0)]),
        "only the ends": torch.cat([different, different[:1]]),
    }[order]
    vectors, near = around(codebook, 500)
    assert torch.equal(search(vectors, codebook), first_equal(codebook)[near])


def test_all_codewords_equal(search: Search) -> None:
    assert (search(torch.randn(300, 32), torch.randn(1, 32).repeat(5000, 1)) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_equal_codewords_of_every_precision(search: Search, dtype: torch.dtype) -> None:
    codebook = torch.randn(50, 8).to(dtype).repeat(3, 1)
    vectors, near = around(codebook, 200)
    assert torch.equal(search(vectors, codebook), near % 50)


def test_codewords_that_are_equal_in_float32_only(search: Search) -> None:
    codebook = torch.randn(50, 8).double().repeat(4, 1)
    codebook *= 1 + 1e-12 * torch.randn(200, 8).double()
    assert len(codebook.unique(dim=0)) == 200
    vectors, near = around(codebook, 300)
    assert torch.equal(search(vectors, codebook), near % 50)


def test_codewords_that_are_equal_once_the_centre_is_taken_off(search: Search) -> None:
    # The first two differ by less than float32 can tell at their distance from the centre.
    codebook = torch.cat([torch.tensor([[2e-9], [1e-9]]), torch.full((70, 1), 1000.0)]).expand(-1, 8).contiguous()
    assert search(torch.zeros(40, 8), codebook).tolist() == [0] * 40


def test_zero_has_no_sign(search: Search) -> None:
    codebook = torch.randn(120, 8)
    codebook[60:] = -codebook[:60]  # the mean is 0, or next to it
    codebook[[20, 50, 80, 110]] = torch.tensor([[0.0], [-0.0], [-0.0], [0.0]])
    codebook[50, :4] = 0.0
    assert search(1e-3 * torch.randn(40, 8), codebook).tolist() == [20] * 40


def test_codewords_that_are_not_finite_leave_indices_in_range(search: Search) -> None:
    codebook = torch.randn(40, 8).repeat(3, 1)
    codebook[::7, 2], codebook[1::7, 3] = float("nan"), float("inf")
    codes = search(torch.randn(100, 8), codebook)
    assert codes.min() >= 0
    assert codes.max() < 120


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorQuantizer(num_embeddings=90, embedding_dim=4),
        lambda: VectorQuantizer(num_embeddings=90, embedding_dim=4, codebook="loss"),
        lambda: VectorQuantizer(num_embeddings=90, embedding_dim=4, distance="cosine"),
        lambda: ResidualQuantizer(stages=[VectorQuantizer(num_embeddings=90, embedding_dim=4) for _ in range(2)]),
        lambda: SimVQ(num_embeddings=90, embedding_dim=4),
        lambda: GumbelQuantizer(num_embeddings=90, embedding_dim=4),
    ],
    ids=["vector", "vector, loss", "cosine", "residual", "SimVQ", "Gumbel"],
)
def test_quantizers_never_take_a_later_one_of_equal_codewords(make: Callable[[], Quantizer]) -> None:
    quantizer = make().eval().requires_grad_(False)
    with torch.no_grad():
        for table in [*quantizer.parameters(), *quantizer.buffers()]:
            if len(table.shape) > 0 and len(table) == 90 and table.is_floating_point():
                table.copy_(table[:30].repeat(3, *[1] * (table.ndim - 1)))
    z_e = torch.randn(4, 4, 10, 10)
    first = torch.stack([first_equal(codewords) for codewords in quantizer.codewords()])
    for codes in (quantizer(z_e).codes, quantizer.encode(z_e)):
        for stage, of_stage in enumerate(codes.unbind(dim=1)):
            assert torch.equal(first[stage][of_stage], of_stage)


@pytest.mark.parametrize("rows", [torch.zeros(0, 3), torch.zeros(4, 0), torch.randn(1, 1), torch.eye(20).repeat(2, 1)])
def test_first_of_equals(rows: Tensor) -> None:
    expected = first_equal(rows) if len(rows) else torch.empty(0, dtype=torch.int64)
    assert torch.equal(first_of_equals(rows), expected)
    keys = torch.randperm(len(rows))[expected] % 7  # equal rows have equal keys, and a few others, too
    assert torch.equal(equals._first_of_runs(rows, torch.randperm(len(rows))[expected]), expected)
    assert (equals._first_of_runs(rows, keys) <= torch.arange(len(rows))).all()


def test_codewords_that_differ_in_signs_alone_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = (torch.arange(2**10).unsqueeze(1) >> torch.arange(10) & 1).float() * 2 - 1
    rows = torch.cat([signs, signs.flip(0)])
    assert torch.equal(first_of_equals(rows), first_equal(rows))
    # The same where the keys that are compared first are all equal.
    monkeypatch.setattr(equals, "_multipliers", lambda *_: torch.zeros(10, dtype=torch.int64))
    assert torch.equal(first_of_equals(rows), first_equal(rows))
