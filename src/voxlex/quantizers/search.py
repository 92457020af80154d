"""Exact search for the nearest codeword, without holding the N×K distance matrix in memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.quantizers.equals import first_of_equals

_TILE_ELEMENTS = 2**19
"""How many scores are held at a time on a CPU: 2 MiB of float32, which fits in the caches."""

_ACCELERATOR_TILE_ELEMENTS = 2**25
"""How many scores are held at a time elsewhere: 128 MiB, enough to keep every unit of a large GPU busy."""

_GROUP = 32
"""Size of the groups whose maxima are taken first, because a maximum vectorizes and an argmax does not."""


def nearest(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], penalty: Float[Tensor, " k"] | None = None
) -> Int64[Tensor, " n"]:
    """Return the index of the codeword at the smallest Euclidean distance from each vector.

    The search computes in float32 under any autocast. Only codewords whose distances float32 cannot tell apart may be
    exchanged. If codewords are equal, the lowest index is returned, on every processor. If an input is not finite, or
    so large that its square overflows float32 (beyond about 1e18), the index is arbitrary but in range.

    Args:
        vectors: The vectors to search for.
        codebook: The codewords.
        penalty: What is added to the squared distance from each codeword, such as its weighted rate in
            entropy-constrained vector quantization (Chou, Lookabaugh, Gray, 1989). It may be infinite, so that a
            codeword is not used. Of equal codewords, the one with the smaller penalty is returned.

    Raises:
        ValueError: If the codebook is empty, its codewords differ in length from the vectors, or there is not one
            penalty for each of them.
    """
    if len(codebook) == 0 or vectors.shape[1] != codebook.shape[1]:
        raise ValueError(f"codebook: expected (k, {vectors.shape[1]}) with k at least 1, got {tuple(codebook.shape)}")
    vectors, codebook = vectors.detach(), codebook.detach()
    search = _search
    if torch.compiler.is_exporting():
        search = _in_plain_operations
    elif torch.compiler.is_compiling():
        search = _as_operator
    if penalty is None:
        return search(vectors, codebook, None)
    if penalty.shape != codebook.shape[:1]:
        raise ValueError(f"penalty: expected ({len(codebook)},), one for each codeword, got {tuple(penalty.shape)}")
    # The first of equal codewords wins, so the one with the smallest penalty has to come first.
    penalty, order = penalty.detach().float().sort(stable=True)
    return order[search(vectors, codebook[order], penalty)]


def _search(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], penalty: Float[Tensor, " k"] | None
) -> Int64[Tensor, " n"]:
    if not len(vectors):
        return torch.empty(0, dtype=torch.int64, device=vectors.device)
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        if vectors.is_cpu and codebook.is_cpu and (compiled := _compiled()) is not None:
            return compiled(vectors.float(), codebook.float(), penalty)
        vectors, codebook = _centred(vectors, codebook)
        first = first_of_equals(codebook)
        bias = _bias(codebook, penalty).masked_fill(first != torch.arange(len(first), device=first.device), -math.inf)
        if fused_kernel_suits(vectors) and (search_triton := _search_triton()) is not None:
            return search_triton.nearest(vectors, codebook, bias)
        with _full_precision():
            return _in_tiles(vectors, codebook, bias)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute float32 products in full float32, whatever precision the process has set."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


@torch.library.custom_op("voxlex::nearest", mutates_args=())
def _as_operator(vectors: Tensor, codebook: Tensor, penalty: Tensor | None = None) -> Tensor:
    """Search as one node of a compiled graph, which would otherwise unroll the loop."""
    return _search(vectors, codebook, penalty)


@_as_operator.register_fake
def _(vectors: Tensor, codebook: Tensor, penalty: Tensor | None = None) -> Tensor:
    return vectors.new_empty(len(vectors), dtype=torch.int64)


def _in_plain_operations(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], penalty: Float[Tensor, " k"] | None
) -> Int64[Tensor, " n"]:
    """Search with operations that an exported graph can run without voxlex. This holds all scores."""
    vectors, codebook = _centred(vectors, codebook)
    scores = torch.addmm(_bias(codebook, penalty), vectors, codebook.t())
    return first_of_equals(codebook)[scores.argmax(dim=1)]


def _centred(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "k d"]]:
    """Return both in float32, centered so that rounding is relative to the spread of the codebook."""
    vectors, codebook = vectors.float(), codebook.float()
    centre = codebook.mean(dim=0)
    return vectors - centre, codebook - centre


def _bias(codebook: Float[Tensor, "k d"], penalty: Float[Tensor, " k"] | None) -> Float[Tensor, " k"]:
    """Return −½(‖e‖² + penalty), because `argmin ‖x − e‖² + penalty = argmax x·e − ½(‖e‖² + penalty)`."""
    squares = codebook.square().sum(dim=1)
    return -0.5 * (squares if penalty is None else squares + penalty)


def _in_tiles(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], bias: Float[Tensor, " k"]
) -> Int64[Tensor, " n"]:
    """Score one tile of vectors at a time. Codewords run down a tile, so that maxima are taken across whole rows."""
    last = len(codebook) - 1
    # Copies of the last codeword fill the last group. They can at most tie, and then count as the last codeword.
    filling = -len(codebook) % _GROUP
    padded = torch.cat([codebook, codebook[last:].expand(filling, -1)])
    bias = torch.cat([bias, bias[last:].expand(filling)]).unsqueeze(1)
    tile_elements = _TILE_ELEMENTS if vectors.device.type == "cpu" else _ACCELERATOR_TILE_ELEMENTS
    fewest, most = (32, 512) if vectors.device.type == "cpu" else (1024, 65536)
    tile_vectors = min(max(tile_elements // len(padded), fewest), most, len(vectors))
    memory = vectors.new_empty(tile_vectors * len(padded))
    codes = []
    for tile in vectors.split(tile_vectors):
        scores = memory[: len(padded) * len(tile)].view(len(padded), len(tile))
        codes.append(_first_argmax(torch.addmm(bias, padded, tile.t(), out=scores)))
    return torch.cat(codes).clamp_(max=last)


def _first_argmax(scores: Float[Tensor, "k n"]) -> Int64[Tensor, " n"]:
    """Return the first position of each column's maximum, by its best group and then by the best codeword in it."""
    groups = scores.unflatten(0, (-1, _GROUP))
    best_group = groups.amax(dim=1).max(dim=0).indices
    members = groups.gather(0, best_group.expand(1, _GROUP, -1)).squeeze(0)
    return best_group * _GROUP + members.max(dim=0).indices


def fused_kernel_suits(vectors: Float[Tensor, "n d"]) -> bool:
    """Return whether the vectors are on an NVIDIA GPU with TF32, and short enough to stay on the chip."""
    return (
        vectors.is_cuda
        and torch.version.hip is None
        and torch.cuda.get_device_capability(vectors.device) >= (8, 0)
        and vectors.shape[1] <= 256
    )


@cache
def _search_triton() -> ModuleType | None:
    """Return the module of the fused kernel, or None, because some builds of PyTorch lack Triton."""
    try:
        from voxlex.quantizers import search_triton
    except ImportError:
        return None
    return search_triton


@cache
def _compiled() -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
    """Return the search by the compiled kernel; None where llvmlite is missing, or cannot compile."""
    try:
        from voxlex.quantizers.search_llvm import Kernel

        return Kernel().nearest
    except (ImportError, OSError, RuntimeError):
        return None
