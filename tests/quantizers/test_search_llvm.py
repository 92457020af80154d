import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from voxlex.quantizers import search, search_llvm
from voxlex.quantizers.search import nearest
from voxlex.quantizers.search_llvm import Kernel

HOST = {name: bool(on) for name, on in search_llvm.binding.get_host_cpu_features().items()}


@pytest.fixture(params=["all", "no AVX-512", "base"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernel for this processor, and for two with fewer instructions."""
    fewer = {name: on and not name.startswith("avx512") for name, on in HOST.items()}
    return Kernel({"all": HOST, "no AVX-512": fewer, "base": {}}[request.param])


def brute_force(vectors: Tensor, codebook: Tensor, penalty: Tensor | float = 0.0) -> Tensor:
    return ((vectors.double().unsqueeze(1) - codebook.double()).square().sum(dim=2) + penalty).argmin(dim=1)


@pytest.mark.parametrize("d", [1, 8, 33])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 333])
def test_every_instruction_set_equals_brute_force(kernel: Kernel, k: int, d: int) -> None:
    codebook, penalty = torch.randn(k, d), torch.rand(k)
    for n in (1, 3, 64, 200):
        vectors = torch.randn(n, d)
        for codes, expected in [
            (kernel.nearest(vectors, codebook), brute_force(vectors, codebook)),
            (kernel.nearest(vectors, codebook, penalty), brute_force(vectors, codebook, penalty)),
        ]:
            assert (codes != expected).sum() <= 1  # two that float32 cannot tell apart


def test_every_instruction_set_returns_the_first_of_equals(kernel: Kernel) -> None:
    different = torch.randn(37, 5)
    codebook = different.repeat(4, 1)
    near = torch.randint(37, (500,))
    assert torch.equal(kernel.nearest(different[near] + 1e-3 * torch.randn(500, 5), codebook), near)


def test_codewords_that_are_not_finite_leave_indices_in_range(kernel: Kernel) -> None:
    for extreme in (torch.inf, -torch.inf, torch.nan, 3e38):
        codes = kernel.nearest(torch.randn(100, 3), torch.full((5, 3), extreme))
        assert codes.min() >= 0
        assert codes.max() < 5


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_threads_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start = search_llvm.start_new_thread
    monkeypatch.setattr(search_llvm, "start_new_thread", lambda *work: started.append(1) or start(*work))
    codebook = torch.randn(3000, 8)
    expected = torch.randint(3000, (5001,))
    assert torch.equal(nearest(codebook[expected], codebook), expected)
    assert len(started) == 3
    nearest(codebook[:10], codebook)
    assert len(started) == 3  # too little work for more than one
    torch.set_num_threads(1)
    nearest(codebook[expected], codebook)
    assert len(started) == 3


@pytest.mark.usefixtures("four_threads")
def test_threads_that_get_no_core_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Callable[[], None]] = []
    monkeypatch.setattr(search_llvm, "start_new_thread", lambda work, tile: late.append(partial(work, *tile)))
    codebook = torch.randn(3000, 8)
    expected = torch.randint(3000, (5001,))
    codes = nearest(codebook[expected], codebook)
    assert len(late) == 3
    for work in late:
        work()
    assert torch.equal(codes, expected)


@pytest.mark.usefixtures("four_threads")
def test_several_threads_may_search_at_once() -> None:
    codebooks = [torch.randn(1500, 8) for _ in range(4)]
    expected = [torch.randint(1500, (3000,)) for _ in codebooks]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = pool.map(lambda book, codes: nearest(book[codes], book), codebooks, expected)
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


# The operations of torch are on few numbers, because its own threads are lost in a forked process.
FORKED = """
import os, sys, torch
from voxlex.quantizers.search import nearest
torch.set_num_threads(2)
codebook = torch.randn(2000, 8)
def search():
    return bool((nearest(codebook[5:6].expand(8000, -1), codebook) == 5).all())
{before}
child = os.fork()
if not child:
    os._exit(0 if search() else 1)
assert os.waitpid(child, 0)[1] == 0
assert search()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forked processes here")
@pytest.mark.parametrize("before", ["", "search()"], ids=["first in child", "first in parent"])
def test_forked_processes_search_too(before: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED.format(before=before)], check=False, timeout=900)
    assert done.returncode == 0


def test_needs_no_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    script = "import torch; from voxlex.quantizers import search; print(search._compiled() is not None)"
    environment = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "missing")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_nothing_is_compiled_before_a_search() -> None:
    script = "import sys, voxlex, voxlex.quantizers, voxlex.cli; print('llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_other_devices_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_compiled", lambda: pytest.fail("the kernel reads memory of the CPU"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        nearest(torch.randn(300, 8), torch.empty(20, 8, device="meta"))
