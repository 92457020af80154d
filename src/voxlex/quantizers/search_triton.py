"""Search for the nearest codeword in one kernel on a GPU. Scores never leave the chip, and memory is O(N + K)."""

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from jaxtyping import Float, Int64
from torch import Tensor

_PASSES = (("tf32", 2.0**-8), ("tf32x3", 2.0**-18), ("ieee", 0.0))
"""How products are computed, from fast to exact, and the error of the difference of two scores, per ‖x‖‖e‖.

TF32 keeps 10 bits. If the rest is cut off, a factor loses up to 2^-10 of itself, a product 2^-9, and the difference of
two scores 2^-8. Three TF32 products lose what two parts of a factor cannot hold, 2^-21, and the product of the small
parts, 2^-22. 2^-18 is twice the error that follows from this for two scores. Both bounds are for the worst case, by
Cauchy-Schwarz on |x|·|e|.
"""

_ROUNDING = 2.0**-20
"""Error of the difference of two scores after d truncating float32 additions, per d·‖x‖‖e‖ or d·(largest bias)."""

_SHORT = 16
"""Length of vectors up to which exact products cost no more than the comparisons of their scores."""


def nearest(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], bias: Float[Tensor, " k"], *, caution: float = 1.0
) -> Int64[Tensor, " n"]:
    """Return the index of the codeword with the highest score x·e + bias for each vector.

    Short vectors take the exact pass alone. Others take the fastest pass first. If the best score of a vector leads all
    others by more than the error of the pass, no exact score can overtake it. The other vectors take the next pass.
    Nothing waits for the number of these vectors, which stays on the GPU.

    Args:
        vectors: Vectors on a GPU, with d at most 256.
        codebook: Codewords on the same GPU, all different where their bias is finite.
        bias: What is added to each product, −½‖e‖² for a Euclidean distance; −inf excludes a codeword.
        caution: Factor on the error bounds. A large one sends all vectors through all passes.
    """
    vectors, codebook, bias = vectors.contiguous(), codebook.contiguous(), bias.contiguous()
    n, d = vectors.shape
    codes = torch.zeros(n, dtype=torch.int64, device=vectors.device)
    leads = torch.zeros(n, dtype=torch.float32, device=vectors.device)
    rows, count = torch.arange(n, device=vectors.device), torch.full((1,), n, device=vectors.device)
    if d <= _SHORT:
        _launch(vectors, codebook, bias, (codes, leads), (rows, count), "short")
        return codes
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    reach = torch.linalg.vector_norm(codebook, dim=1).max()
    heaviest = bias.where(bias.isfinite(), 0).abs().max()
    for precision, product_error in _PASSES:
        _launch(vectors, codebook, bias, (codes, leads), (rows, count), precision)
        bound = product_error * reach * lengths + _ROUNDING * d * (reach * lengths + heaviest)
        # Written this way, so that a NaN stays open. Rows that are settled do not come back: their lead is infinite.
        is_open = ~(leads > caution * bound)
        leads.masked_fill_(~is_open, torch.inf)
        rows, count = is_open.to(torch.int8).argsort(descending=True, stable=True), is_open.sum().view(1)
    return codes


def _launch(
    vectors: Float[Tensor, "n d"],
    codebook: Float[Tensor, "k d"],
    bias: Float[Tensor, " k"],
    results: tuple[Int64[Tensor, " n"], Float[Tensor, " n"]],
    open_rows: tuple[Int64[Tensor, " n"], Int64[Tensor, "1"]],
    precision: str,
) -> None:
    """Write the best codeword of each open row, and how far its score leads the second best.

    Args:
        vectors: The vectors.
        codebook: The codewords.
        bias: The bias of each.
        results: Where codewords and leads are written.
        open_rows: Row numbers, the open ones first, and the number of the open ones.
        precision: How products are computed; "short" for the exact ones of short vectors, whose leads stay unknown.
    """
    n, d = vectors.shape
    padded_d = max(16, triton.next_power_of_2(d))
    block_n, block_k = (128, 64) if padded_d <= 64 else (64, 64) if padded_d == 128 else (32, 32)
    _search_kernel[(triton.cdiv(n, block_n),)](
        vectors,
        codebook,
        bias,
        *results,
        *open_rows,
        len(codebook),
        d=d,
        padded_d=padded_d,
        block_n=block_n,
        block_k=block_k,
        precision=precision,
        num_warps=8 if block_n == 128 else 4,
    )


@triton.jit
def _search_kernel(  # type: ignore[no-untyped-def]
    vectors, codebook, bias, indices, leads, open_rows, count, k,
    d: tl.constexpr, padded_d: tl.constexpr, block_n: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Compare a block of open rows with all codewords.

    Every lane holds the best score that it has seen, the position of that score, and the second best score. The lanes
    are combined only at the end, because a reduction across them costs more than the scores themselves.
    """
    n = tl.load(count)
    places = tl.program_id(0) * block_n + tl.arange(0, block_n)
    if tl.program_id(0) * block_n < n:
        rows = tl.load(open_rows + places, mask=places < n, other=0)
        dims = tl.arange(0, padded_d)
        lanes = tl.arange(0, block_k)
        if precision != "short":
            x = tl.load(
                vectors + rows[:, None] * d + dims[None, :],
                mask=(places < n)[:, None] & (dims < d)[None, :],
                other=0.0,
            )
        best = tl.full((block_n, block_k), float("-inf"), tl.float32)
        second = tl.full((block_n, block_k), float("-inf"), tl.float32)
        starts = tl.zeros((block_n, block_k), tl.int32)
        for start in range(0, k, block_k):
            columns = start + lanes
            offsets = tl.load(bias + columns, mask=columns < k, other=float("-inf"))[None, :]
            if precision == "short":
                scores = offsets + tl.zeros((block_n, block_k), tl.float32)
                for axis in tl.static_range(d):
                    of_x = tl.load(vectors + rows * d + axis)
                    of_e = tl.load(codebook + columns.to(tl.int64) * d + axis, mask=columns < k, other=0.0)
                    scores += of_x[:, None] * of_e[None, :]
                better = scores > best  # never true for a NaN
            else:
                e = tl.load(
                    codebook + columns.to(tl.int64)[None, :] * d + dims[:, None],
                    mask=(columns < k)[None, :] & (dims < d)[:, None],
                    other=0.0,
                )
                scores = tl.dot(x, e, input_precision=precision) + offsets
                better = scores > best
                second = tl.where(better, best, tl.where(scores > second, scores, second))
            starts = tl.where(better, start, starts)
            best = tl.where(better, scores, best)
        top = tl.max(best, axis=1)
        positions = starts + lanes[None, :]
        # If scores are equal, the lowest index wins. Lanes beyond the end of a short codebook hold only -inf.
        first = tl.min(tl.where(best == top[:, None], positions, k - 1), axis=1)
        runner_up = tl.max(tl.where(positions == first[:, None], second, best), axis=1)
        tl.store(indices + rows, first.to(tl.int64), mask=places < n)
        tl.store(leads + rows, top - runner_up, mask=places < n)
