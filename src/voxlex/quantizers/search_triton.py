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
"""Error of the difference of two scores after d truncating float32 additions, per d·‖x‖‖e‖ or d·‖e‖²."""


def nearest(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], *, caution: float = 1.0
) -> Int64[Tensor, " n"]:
    """Return the index of the codeword nearest to each vector, if all codewords are different.

    Every vector takes the fastest pass. If its best score leads all others by more than the error of the pass, no exact
    score can overtake it. The other vectors take the next pass.

    Args:
        vectors: Vectors on a GPU, with d at most 256.
        codebook: Codewords on the same GPU.
        caution: Factor on the error bounds. A large one sends all vectors through all passes.
    """
    codebook = codebook.contiguous()
    bias = -0.5 * codebook.square().sum(dim=1)
    reach = (-2 * bias.min()).sqrt()
    codes = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    open_rows = torch.arange(len(vectors), device=vectors.device)
    for precision, product_error in _PASSES:
        remaining = vectors[open_rows]
        indices, leads = _launch(remaining, codebook, bias, precision)
        codes[open_rows] = indices
        if precision == "ieee":
            break
        summation_error = _ROUNDING * vectors.shape[1]
        lengths = torch.linalg.vector_norm(remaining, dim=1)
        bound = reach * (product_error * lengths + summation_error * (lengths + reach))
        open_rows = open_rows[~(leads > caution * bound)]  # written this way, so that a NaN stays open
        if not len(open_rows):
            break
    return codes


def _launch(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], bias: Float[Tensor, " k"], precision: str
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the best codeword of each vector, and how far its score leads the second best."""
    n, d = vectors.shape
    indices = torch.empty(n, dtype=torch.int64, device=vectors.device)
    leads = torch.empty(n, dtype=torch.float32, device=vectors.device)
    padded_d = max(16, triton.next_power_of_2(d))
    block_n, block_k = (128, 64) if padded_d <= 64 else (64, 64) if padded_d == 128 else (32, 32)
    _search_kernel[(triton.cdiv(n, block_n),)](
        vectors.contiguous(),
        codebook,
        bias,
        indices,
        leads,
        n,
        len(codebook),
        d,
        padded_d=padded_d,
        block_n=block_n,
        block_k=block_k,
        precision=precision,
        num_warps=8 if block_n == 128 else 4,
    )
    return indices, leads


@triton.jit
def _search_kernel(  # type: ignore[no-untyped-def]
    vectors, codebook, bias, indices, leads, n, k, d,
    padded_d: tl.constexpr, block_n: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Compare a block of vectors with all codewords.

    Every lane holds the best score that it has seen, the position of that score, and the second best score. The lanes
    are combined only at the end, because a reduction across them costs more than the scores themselves.
    """
    rows = tl.program_id(0) * block_n + tl.arange(0, block_n)
    dims = tl.arange(0, padded_d)
    lanes = tl.arange(0, block_k)
    x = tl.load(
        vectors + rows.to(tl.int64)[:, None] * d + dims[None, :],
        mask=(rows < n)[:, None] & (dims < d)[None, :],
        other=0.0,
    )
    best = tl.full((block_n, block_k), float("-inf"), tl.float32)
    second = tl.full((block_n, block_k), float("-inf"), tl.float32)
    starts = tl.zeros((block_n, block_k), tl.int32)
    for start in range(0, k, block_k):
        columns = start + lanes
        e = tl.load(
            codebook + columns.to(tl.int64)[None, :] * d + dims[:, None],
            mask=(columns < k)[None, :] & (dims < d)[:, None],
            other=0.0,
        )
        scores = tl.dot(x, e, input_precision=precision)
        scores += tl.load(bias + columns, mask=columns < k, other=float("-inf"))[None, :]
        better = scores > best  # never true for a NaN
        second = tl.where(better, best, tl.where(scores > second, scores, second))
        starts = tl.where(better, start, starts)
        best = tl.where(better, scores, best)
    top = tl.max(best, axis=1)
    positions = starts + lanes[None, :]
    # If scores are equal, the lowest index wins. Lanes beyond the end of a short codebook hold only -inf.
    first = tl.min(tl.where(best == top[:, None], positions, k - 1), axis=1)
    runner_up = tl.max(tl.where(positions == first[:, None], second, best), axis=1)
    tl.store(indices + rows, first.to(tl.int64), mask=rows < n)
    tl.store(leads + rows, top - runner_up, mask=rows < n)
