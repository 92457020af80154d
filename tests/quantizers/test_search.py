import sys
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from voxlex.quantizers import search
from voxlex.quantizers.search import nearest


@pytest.fixture(params=["compiled", "tiles"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the compiled kernel, and as it is where llvmlite is missing."""
    if request.param == "tiles":
        monkeypatch.setitem(sys.modules, "voxlex.quantizers.search_llvm", None)
    monkeypatch.setattr(search, "_compiled", search._compiled.__wrapped__)
    assert (search._compiled() is None) == (request.param == "tiles")
    return request.param


def excess_over_brute_force(vectors: Tensor, codebook: Tensor, codes: Tensor, penalty: Tensor | float = 0.0) -> Tensor:
    """By how much each chosen codeword's squared distance plus penalty exceeds the smallest one, in float64."""
    costs = (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2) + penalty
    return costs.gather(1, codes.unsqueeze(1)).squeeze(1) - costs.amin(dim=1)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("d", [1, 8, 64])
@pytest.mark.parametrize("k", [1, 7, 64, 100, 1024])
def test_equals_brute_force_in_float64(k: int, d: int, offset: float) -> None:
    vectors, codebook = torch.randn(777, d) + offset, torch.randn(k, d) + offset
    excess = excess_over_brute_force(vectors, codebook, nearest(vectors, codebook))
    # Only codewords whose distances float32 cannot tell apart may change places, and only seldom; wherever the origin.
    spread = (vectors - offset).square().sum(dim=1).double() + (codebook - offset).square().sum(dim=1).max()
    assert (excess <= 2 * 2**-23 * spread).all()
    assert (excess > 0).double().mean() < 0.01


@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (1, 300, 8), (300, 1, 3), (65, 9, 300), (200, 2, 17)])
def test_odd_sizes(n: int, k: int, d: int) -> None:
    vectors, codebook = torch.randn(n, d), torch.randn(k, d)
    assert (excess_over_brute_force(vectors, codebook, nearest(vectors, codebook)) <= 1e-4).all()


def test_strides_do_not_matter() -> None:
    vectors, codebook = torch.randn(40, 6, 9), torch.randn(30, 6, 2)
    for some, others in [
        (vectors[:, :, 4], codebook[:, :, 1]),
        (vectors[::3, :, 4], codebook[::7, :, 0]),
        (vectors[7].t(), codebook[:, :, 0].t().contiguous().t()),
        (vectors[5:6, :, 0].expand(20, -1), codebook[:1, :, 0].expand(5, -1)),
    ]:
        assert torch.equal(nearest(some, others), nearest(some.contiguous(), others.contiguous()))


@pytest.mark.parametrize("k", [1, 6, 200])
def test_penalties_are_added_to_squared_distances(k: int) -> None:
    vectors, codebook, penalty = torch.randn(500, 8), torch.randn(k, 8), 4 * torch.randn(k)
    excess = excess_over_brute_force(vectors, codebook, nearest(vectors, codebook, penalty), penalty)
    assert (excess <= 1e-5).all()


def test_a_codeword_with_an_infinite_penalty_is_not_used() -> None:
    codebook = torch.randn(50, 8)
    penalty = torch.zeros(50)
    penalty[::2] = torch.inf
    assert (nearest(codebook, codebook, penalty) % 2 == 1).all()


def test_of_equal_codewords_the_one_with_the_smallest_penalty_and_then_the_first_is_returned() -> None:
    different = torch.randn(40, 8)
    codebook = different.repeat(4, 1)
    # The smallest differences are lost beside the squared lengths.
    penalty = torch.tensor([2e-12, 1e-12, 1e-12, 3e-12]).repeat_interleave(40)
    assert nearest(different, codebook, penalty).tolist() == list(range(40, 80))


@pytest.mark.usefixtures("without_shape_checks")
def test_there_is_one_penalty_for_each_codeword() -> None:
    with pytest.raises(ValueError, match=r"penalty: expected \(5,\), one for each codeword, got \(4,\)"):
        nearest(torch.randn(3, 4), torch.randn(5, 4), torch.zeros(4))


@pytest.mark.parametrize("n", [1, 31, 512, 513, 1100])
def test_every_tile_counts(n: int) -> None:
    codebook = torch.randn(1000, 8)
    expected = torch.randint(1000, (n,))
    assert torch.equal(nearest(codebook[expected], codebook), expected)


def test_stays_in_float32_under_autocast() -> None:
    # Two codewords that bfloat16 cannot tell apart.
    codebook = torch.tensor([[1.0, 0.0], [1.0 + 2**-9, 0.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nearest(codebook, codebook).tolist() == [0, 1]


@pytest.fixture
def medium_precision() -> Iterator[None]:
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    assert torch.get_float32_matmul_precision() == "medium"
    torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("medium_precision")
def test_stays_in_float32_where_matrix_products_do_not() -> None:
    vectors, codebook = torch.randn(300, 64), torch.randn(500, 64)
    excess = excess_over_brute_force(vectors, codebook, nearest(vectors, codebook))
    assert (excess > 1e-4).sum() == 0


@pytest.mark.parametrize("extreme", [1e30, -3e38, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("where", ["vectors", "codebook", "both"])
def test_extreme_inputs_give_indices_in_range(extreme: float, where: str) -> None:
    vectors, codebook = torch.randn(50, 8), torch.randn(33, 8)
    if where != "codebook":
        vectors[::3, 2] = extreme
    if where != "vectors":
        codebook[::3, 5] = extreme
    codes = nearest(vectors, codebook)
    assert codes.min() >= 0
    assert codes.max() < 33


def test_a_vector_that_is_not_finite_does_not_disturb_the_others() -> None:
    vectors, codebook = torch.randn(50, 8), torch.randn(33, 8)
    expected = nearest(vectors, codebook)
    vectors[7] = float("nan")
    others = torch.arange(50) != 7
    assert torch.equal(nearest(vectors, codebook)[others], expected[others])


def test_no_vectors_give_no_indices() -> None:
    assert nearest(torch.empty(0, 4), torch.randn(3, 4)).shape == (0,)


def test_an_empty_codebook_is_refused() -> None:
    with pytest.raises(ValueError, match="codebook: expected"):
        nearest(torch.randn(3, 4), torch.empty(0, 4))


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = function(*args, **(kwargs or {}))
        found = [tensor.numel() for tensor in tree_leaves(result) if isinstance(tensor, Tensor)]
        self.elements = max([self.elements, *found])
        return result


def test_holds_no_matrix_of_all_scores() -> None:
    vectors, codebook = torch.randn(2000, 4), torch.randn(2000, 4)
    with Largest() as largest:
        nearest(vectors, codebook)
    assert 2000 <= largest.elements <= 2**19


class Search(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(100, 8))
        self.penalty = nn.Parameter(torch.randn(100))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        return nearest(vectors, self.codebook), nearest(vectors, self.codebook, self.penalty)


def assert_equal(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """The checks that the tests put on every function cannot be traced into a graph."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_to_one_node(backend: str) -> None:
    module = Search()
    vectors = torch.randn(700, 8, requires_grad=True)
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    assert_equal(compiled(vectors), module(vectors))


def test_the_operator_keeps_its_promises() -> None:
    for penalty in (None, torch.randn(5)):
        torch.library.opcheck(torch.ops.voxlex.nearest.default, (torch.randn(9, 8), torch.randn(5, 8), penalty))


@pytest.mark.usefixtures("without_shape_checks")
def test_exports_plain_operations_for_any_batch() -> None:
    module = Search()
    exported = torch.export.export(
        module, (torch.randn(12, 8),), dynamic_shapes={"vectors": {0: torch.export.Dim("n", min=1)}}
    )
    assert "voxlex" not in str(exported.graph)
    vectors = torch.randn(700, 8)
    assert_equal(exported.module()(vectors), module(vectors))
