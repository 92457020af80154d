from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from voxlex.quantizers import search
from voxlex.quantizers.search import nearest


def excess_over_brute_force(vectors: Tensor, codebook: Tensor, codes: Tensor) -> Tensor:
    """By how much each chosen codeword's squared distance exceeds the smallest one, in float64."""
    distances = (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2)
    return distances.gather(1, codes.unsqueeze(1)).squeeze(1) - distances.amin(dim=1)


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


def test_holds_no_matrix_of_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[int] = []
    argmax = search._first_argmax
    monkeypatch.setattr(search, "_first_argmax", lambda scores: tiles.append(scores.numel()) or argmax(scores))
    nearest(torch.randn(2000, 4), torch.randn(2000, 4))
    assert max(tiles) <= 2**19
    assert sum(tiles) >= 2000 * 2000


class Search(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(100, 8))

    def forward(self, vectors: Tensor) -> Tensor:
        return nearest(vectors, self.codebook)


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
    assert torch.equal(compiled(vectors), module(vectors))


def test_the_operator_keeps_its_promises() -> None:
    torch.library.opcheck(torch.ops.voxlex.nearest.default, (torch.randn(9, 8), torch.randn(5, 8)))


@pytest.mark.usefixtures("without_shape_checks")
def test_exports_plain_operations_for_any_batch() -> None:
    module = Search()
    exported = torch.export.export(
        module, (torch.randn(12, 8),), dynamic_shapes={"vectors": {0: torch.export.Dim("n", min=1)}}
    )
    assert "voxlex" not in str(exported.graph)
    vectors = torch.randn(700, 8)
    assert torch.equal(exported.module()(vectors), module(vectors))
