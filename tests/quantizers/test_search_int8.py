import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from voxlex.quantizers import search, search_int8
from voxlex.quantizers.search import nearest

pytestmark = pytest.mark.skipif(not search_int8.has_exact_products(), reason="no exact 8-bit dot products here")


@pytest.fixture(autouse=True)
def small_problems_suit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_int8, "suits", lambda *_: True)


def brute_force(vectors: Tensor, codebook: Tensor) -> Tensor:
    return (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2).argmin(dim=1)


def left_over(vectors: Tensor, codebook: Tensor) -> int:
    """Count the vectors that 8 bits do not decide."""
    codes, crowded = search_int8.nearest(vectors, codebook)
    return sum(len(codes[span]) for span in crowded)


@pytest.mark.parametrize("d", [1, 8, 64, 200])
@pytest.mark.parametrize("k", [1, 31, 1000])
def test_equals_brute_force_in_float64(k: int, d: int) -> None:
    vectors, codebook = torch.randn(333, d), torch.randn(k, d)
    agree = nearest(vectors, codebook) == brute_force(vectors, codebook)
    assert agree.double().mean() > 0.99  # all but those float32 cannot tell apart


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_lengths_that_differ_do_not_mislead(spread: float, scale: float) -> None:
    # Long codewords and short ones: the bias, half of the squared length, outweighs the products.
    lengths = (torch.rand(500, 1) * spread).exp()
    vectors, codebook = scale * torch.randn(300, 32), scale * lengths * torch.randn(500, 32)
    assert torch.equal(nearest(vectors, codebook), brute_force(vectors, codebook))


@pytest.mark.parametrize("rounds", range(3))
def test_rounding_to_8_bits_costs_no_nearest_codeword(rounds: int) -> None:
    # Vectors halfway between two codewords, but for far less than 8 bits can tell, and more than float32 needs.
    codebook = torch.randn(320, 64) * torch.rand(64)
    one, other = torch.randint(320, (2, 2000))
    share = 0.5 + 1e-3 * torch.randn(2000, 1).sign()
    vectors = share * codebook[one] + (1 - share) * codebook[other]
    assert torch.equal(nearest(vectors, codebook), brute_force(vectors, codebook))


def test_8_bits_decide_for_vectors_near_codewords() -> None:
    codebook = torch.randn(2000, 64)
    assert left_over(codebook[torch.randint(2000, (500,))] + 0.2 * torch.randn(500, 64), codebook) == 0


def test_many_codewords_almost_alike_are_left_to_float32() -> None:
    codebook = torch.randn(1, 32) + 1e-4 * torch.randn(5000, 32)
    codebook[0] += 100
    vectors = codebook[torch.randint(5000, (300,))]
    assert left_over(vectors, codebook) == 300
    assert (nearest(vectors, codebook) == brute_force(vectors, codebook)).double().mean() > 0.99


def test_an_outlier_does_not_mislead() -> None:
    vectors, codebook = torch.randn(300, 32), torch.randn(600, 32)
    vectors[7] *= 1e6
    assert torch.equal(nearest(vectors, codebook), brute_force(vectors, codebook))


@pytest.mark.parametrize("extreme", [1e-30, 1e30, -3e38, float("inf"), float("nan")])
@pytest.mark.parametrize("where", ["vectors", "codebook"])
def test_extreme_inputs_give_indices_in_range(extreme: float, where: str) -> None:
    tensors = {"vectors": torch.randn(50, 32), "codebook": torch.randn(33, 32)}
    tensors[where] = extreme * tensors[where].sign()
    codes = nearest(**tensors)
    assert codes.min() >= 0
    assert codes.max() < 33


def test_zeros_are_searched_too() -> None:
    assert (nearest(torch.zeros(40, 32), torch.zeros(50, 32)) == 0).all()


def test_holds_few_scores_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[int] = []
    within = search_int8._within_margin
    monkeypatch.setattr(
        search_int8, "_within_margin", lambda groups, margin: tiles.append(groups.numel()) or within(groups, margin)
    )
    nearest(torch.randn(3000, 32), torch.randn(3000, 32))
    assert max(tiles) <= 3 * 2**19
    assert sum(tiles) >= 3000 * 3000


@pytest.mark.parametrize(("owner", "name"), [(torch, "_int_mm"), (torch.cpu, "_is_vnni_supported")])
def test_does_without_functions_that_pytorch_does_not_promise(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    monkeypatch.undo()
    vectors, codebook = torch.randn(256, 32), torch.randn(4096, 32)
    assert search_int8.suits(vectors, codebook)
    monkeypatch.delattr(owner, name)
    assert not search_int8.suits(vectors, codebook)
    assert torch.equal(nearest(vectors, codebook), brute_force(vectors, codebook))


def test_is_exact_where_onednn_is_told_to_do_without_8_bit_instructions() -> None:
    script = (
        "import torch; from voxlex.quantizers.search import nearest; torch.manual_seed(0);"
        "vectors, codebook = torch.randn(256, 64), torch.randn(4096, 64);"
        "expected = torch.cdist(vectors.double(), codebook.double()).argmin(dim=1);"
        "print(int((nearest(vectors, codebook) != expected).sum()))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_is_chosen_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert search_int8.suits(torch.zeros(256, 32), torch.zeros(4096, 32))
    assert not search_int8.suits(torch.zeros(256, 8), torch.zeros(4096, 8))
    assert not search_int8.suits(torch.zeros(256, 32), torch.zeros(1024, 32))
    called: list[int] = []
    exact = search._in_tiles
    monkeypatch.setattr(search, "_in_tiles", lambda vectors, codebook: called.append(1) or exact(vectors, codebook))
    nearest(torch.randn(256, 32), torch.randn(4096, 32))
    assert not called
