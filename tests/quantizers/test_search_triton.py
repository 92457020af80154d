"""The fused kernel, on a GPU where there is one, and everywhere else in Triton's interpreter.

Triton reads TRITON_INTERPRET when it is first imported, so the interpreter needs a process of its own: one test runs
this very file again in it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="PyTorch comes without Triton on this system")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

on_device = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(), reason="no GPU; runs in Triton's interpreter instead"
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)  # the run in the interpreter does without what the other tests begin with


@pytest.mark.skipif(INTERPRETED, reason="this is the run it starts")
def test_all_pass_in_the_interpreter() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--noconftest", str(Path(__file__).resolve())],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed, 1 skipped" in run.stdout


def search(vectors: Tensor, codebook: Tensor, caution: float = 1.0) -> Tensor:
    from voxlex.quantizers.search_triton import nearest

    bias = -0.5 * codebook.square().sum(dim=1)
    return nearest(vectors.to(DEVICE), codebook.to(DEVICE), bias.to(DEVICE), caution=caution).cpu()


def brute_force(vectors: Tensor, codebook: Tensor) -> Tensor:
    return (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2).argmin(dim=1)


@on_device
@pytest.mark.parametrize("caution", [1.0, 1e9])
@pytest.mark.parametrize(("n", "k", "d"), [(300, 100, 8), (128, 64, 64), (1, 1, 1), (129, 65, 17), (40, 70, 200)])
def test_equals_brute_force(n: int, k: int, d: int, caution: float) -> None:
    vectors, codebook = torch.randn(n, d), torch.randn(k, d)
    assert torch.equal(search(vectors, codebook, caution), brute_force(vectors, codebook))


@on_device
@pytest.mark.parametrize(("k", "d"), [(200, 8), (64, 64), (130, 17), (300, 200)])
def test_of_equal_codewords_the_lowest_index_wins(monkeypatch: pytest.MonkeyPatch, k: int, d: int) -> None:
    from voxlex.quantizers import search

    monkeypatch.setattr(search, "fused_kernel_suits", lambda _: True)
    different, of_index = torch.randn(k // 4, d), torch.randint(k // 4, (k,))
    codebook = different[of_index]
    first = (of_index.unsqueeze(1) == of_index).int().argmax(dim=1)
    vectors = codebook + 0.01 * torch.randn(k, d)
    assert torch.equal(search.nearest(vectors.to(DEVICE), codebook.to(DEVICE)).cpu(), first)


@on_device
def test_near_ties_are_told_apart() -> None:
    # Each codeword has a neighbour that differs from it about as much as TF32 can tell.
    codebook = torch.randn(60, 40).repeat_interleave(2, dim=0)
    codebook[1::2] *= 1 + 2**-10
    assert torch.equal(search(codebook, codebook), brute_force(codebook, codebook))


@on_device
@pytest.mark.parametrize(("d", "caution", "rows"), [(40, 0.0, [100, 0, 0]), (40, 1e9, [100] * 3), (8, 1e9, [100])])
def test_only_open_rows_take_the_next_pass(
    monkeypatch: pytest.MonkeyPatch, d: int, caution: float, rows: list[int]
) -> None:
    from voxlex.quantizers import search_triton

    counts: list[int] = []
    launch = search_triton._launch
    monkeypatch.setattr(
        search_triton,
        "_launch",
        lambda *given: counts.append(int(given[4][1])) or launch(*given),
    )
    search(torch.randn(100, d), torch.randn(40, d), caution)
    assert counts == rows


@on_device
@pytest.mark.parametrize("d", [8, 40])
def test_penalties_are_added_to_squared_distances(monkeypatch: pytest.MonkeyPatch, d: int) -> None:
    from voxlex.quantizers import search

    monkeypatch.setattr(search, "fused_kernel_suits", lambda _: True)
    vectors, codebook, penalty = torch.randn(200, d), torch.randn(70, d), 4 * torch.rand(70)
    codebook[7], penalty[::5] = codebook[3], torch.inf
    distances = (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2) + penalty
    found = search.nearest(*(given.to(DEVICE) for given in (vectors, codebook, penalty))).cpu()
    assert torch.equal(found, distances.argmin(dim=1))


@on_device
def test_a_wrong_answer_of_a_fast_pass_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxlex.quantizers import search_triton

    launch = search_triton._launch

    def in_low_precision(vectors: Tensor, codebook: Tensor, *rest: Any) -> None:
        kept = {"tf32": -(2**13), "tf32x3": -(2**3), "ieee": -1}[rest[-1]]  # a mask that cuts the low bits off
        launch(*((part.view(torch.int32) & kept).view(torch.float32) for part in (vectors, codebook)), *rest)

    vectors, codebook = torch.randn(2000, 40), torch.randn(300, 40)
    codebook[150:] = codebook[:150] + 1e-4 * torch.randn(150, 40)
    distances = (vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2)
    reach = codebook.norm(dim=1).amax()
    float32_cannot_tell = 2**-18 * reach * (vectors.norm(dim=1) + reach)

    def strays(codes: Tensor) -> Tensor:
        return distances.gather(1, codes.unsqueeze(1)).squeeze(1) - distances.amin(dim=1) > float32_cannot_tell

    monkeypatch.setattr(search_triton, "_launch", in_low_precision)
    assert strays(search(vectors, codebook, caution=0.0)).any()
    assert not strays(search(vectors, codebook)).any()


@on_device
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter
@pytest.mark.parametrize("extreme", [1e30, float("inf"), float("nan")])
def test_extreme_inputs_give_indices_in_range(extreme: float) -> None:
    vectors, codebook = torch.randn(50, 8), torch.randn(33, 8)
    vectors[::3, 2] = codebook[::4, 5] = extreme
    codes = search(vectors, codebook)
    assert codes.min() >= 0
    assert codes.max() < 33
