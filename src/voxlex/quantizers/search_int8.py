"""Search for the nearest codeword on a CPU by screening with 8-bit dot products, followed by exact scores.

Products of 8-bit integers take a fraction of the time of float32 products, and they are exact. Their scores differ from
the true ones only by the rounding of vectors and codewords, which is known. If the integer score of a codeword is lower
than the best one by more than this error allows, the codeword cannot be the nearest. The few others are scored in
float32.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8, Int32, Int64
from torch import Tensor

_LARGEST = 127
_TILE_ELEMENTS = 3 * 2**19
"""How many integer scores are held at a time: 6 MiB."""

_GROUP = 32
"""Size of the groups whose maxima are taken first. A group that may hold the nearest codeword is then searched."""

_ROUNDED_ROWS = 2**11
"""How many rows are rounded at a time, because all of them in float32 would take as much memory as the vectors."""

_SCORED_ELEMENTS = 2**18
"""How many elements of vectors, and of codewords, are gathered at a time for exact scores: 1 MiB."""

_CROWDED = 64
"""If a tile has more candidate groups or codewords per vector than this, all of it is scored in float32."""

_MOST_BIAS_COLUMNS = 32


class _Screening(NamedTuple):
    """The inputs of 8-bit scores, and a bound on their error.

    Attributes:
        vectors: The rounded vectors, one per column, and below them the factors of the bias.
        codebook: The rounded codewords, and beside them the digits of the bias. The last codeword is repeated to fill
            the last group.
        margin: A bound for each vector. A codeword whose integer score is lower than the best one by more than this
            cannot be the nearest.
    """

    vectors: Int8[Tensor, "c n"]
    codebook: Int8[Tensor, "k_padded c"]
    margin: Int32[Tensor, " n"]


def suits(vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> bool:
    """Return whether 8-bit dot products are exact here, and products take most of the time of a search."""
    return (
        vectors.device.type == "cpu"
        and vectors.shape[1] >= 32
        and len(codebook) >= 4096
        and len(vectors) >= 256
        and has_exact_products()
    )


def has_exact_products() -> bool:
    """Return whether PyTorch multiplies 8-bit matrices, the processor does so fast (VNNI), and sums are exact.

    The functions that answer this do not belong to the public interface of PyTorch, so they may be missing.
    """
    return (
        hasattr(torch, "_int_mm")
        and hasattr(torch.cpu, "_is_vnni_supported")
        and torch.cpu._is_vnni_supported()
        and _sums_do_not_saturate()
    )


@cache
def _sums_do_not_saturate() -> bool:
    """Return whether products are exact. Without VNNI, or if oneDNN may not use it, sums of two saturate at 16 bits."""
    signs = torch.tensor([1, -1], dtype=torch.int8).repeat_interleave(32).unsqueeze(1)
    largest = (_LARGEST * signs).expand(-1, 64).contiguous()
    return torch.equal(torch._int_mm(largest, largest.t()), largest.int() @ largest.t().int())


def _screening(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], bias: Float[Tensor, " k"]
) -> _Screening | None:
    """Round vectors, codewords and bias to 8 bits.

    If `a·q` is a rounded vector and `b·r` a rounded codeword, `|x·e − ab q·r| ≤ ‖x − aq‖‖e‖ + ‖aq‖‖e − br‖` by
    Cauchy-Schwarz. Two scores may both have this error, in opposite directions.

    Returns:
        None if 8-bit scores would be useless, or if numbers are not finite.
    """
    step, codebook_step = (float(tensor.abs().amax()) / _LARGEST for tensor in (vectors, codebook))
    unit = step * codebook_step
    if not 1e-30 < unit < 1e30:
        return None
    rounded, kept, lost = _rounded(vectors, step)
    rounded_codebook, _, codebook_lost = _rounded(codebook, codebook_step)
    error = lost * codebook.norm(dim=1).amax() + kept * codebook_lost.amax()
    # The rest covers half a unit of the bias, and the rounding of the bias, the norms and the exact scores in float32.
    margin = 2 * (1.001 * error / unit + 1 + 1e-5 * bias.abs().amax() / unit)
    levels = ((bias - bias.mean()) / unit).round_()
    columns = max(1, math.ceil(min(float(levels.abs().amax()), 1e9) / _LARGEST**2))
    if columns > _MOST_BIAS_COLUMNS or not margin.amax() < 2**30:
        return None
    factors = torch.tensor([_LARGEST] * columns + [1], dtype=torch.int8).unsqueeze(1).expand(-1, len(vectors))
    beside = torch.cat([rounded_codebook, _digits(levels, columns)], dim=1)
    return _Screening(
        vectors=torch.cat([rounded.t(), factors]),
        codebook=torch.cat([beside, beside[-1:].expand(-len(beside) % _GROUP, -1)]),
        margin=margin.ceil().int(),
    )


def _rounded(
    rows: Float[Tensor, "n d"], step: float
) -> tuple[Int8[Tensor, "n d"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the rows in whole steps, the length of each rounded row, and the length of its rounding error."""
    rounded, kept, lost = [], [], []
    for some in rows.split(_ROUNDED_ROWS):
        whole = (some / step).round_()
        rounded.append(whole.to(torch.int8))
        kept.append(step * whole.norm(dim=1))
        lost.append(torch.sub(some, whole, alpha=step).norm(dim=1))
    return torch.cat(rounded), torch.cat(kept), torch.cat(lost)


def _digits(levels: Float[Tensor, " k"], columns: int) -> Int8[Tensor, "k c"]:
    """Write each whole number as 127 times the sum of `columns` 8-bit numbers, plus one more 8-bit number."""
    high = (levels / _LARGEST).round()
    # ⌊h/m⌋ + ⌊(h+1)/m⌋ + … + ⌊(h+m−1)/m⌋ = h (Hermite), so the parts are as equal as possible.
    parts = ((high.unsqueeze(1) + torch.arange(columns)) / columns).floor()
    return torch.cat([parts, (levels - _LARGEST * high).unsqueeze(1)], dim=1).to(torch.int8)


def nearest(vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> tuple[Int64[Tensor, " n"], list[slice]]:
    """Return the index of the codeword nearest to each vector, if all codewords are different.

    Also return the spans of rows for which 8 bits leave too many codewords. Their indices are not set, and the caller
    must search them in another way.
    """
    bias = -0.5 * codebook.square().sum(dim=1)
    prepared = _screening(vectors, codebook, bias)
    if prepared is None:
        return torch.zeros(len(vectors), dtype=torch.int64), [slice(0, len(vectors))]
    rows, codes, crowded = _candidates(prepared)
    codes.clamp_(max=len(codebook) - 1)
    pairs = max(_SCORED_ELEMENTS // vectors.shape[1], 1)
    scores = [
        (vectors[some_rows] * codebook[some_codes]).sum(dim=1) + bias[some_codes]
        for some_rows, some_codes in zip(rows.split(pairs), codes.split(pairs), strict=True)
    ]
    return _best_of(torch.cat(scores), rows, codes, n=len(vectors)), crowded


def _candidates(prepared: _Screening) -> tuple[Int64[Tensor, " c"], Int64[Tensor, " c"], list[slice]]:
    """Return all pairs of a vector and a codeword that may be its nearest, and the rows with too many such pairs."""
    k, n = len(prepared.codebook), prepared.vectors.shape[1]
    width = min(max(_TILE_ELEMENTS // k, 32), 1024, n)
    memory = torch.empty(k * width, dtype=torch.int32)
    rows: list[Tensor] = []
    codes: list[Tensor] = []
    crowded: list[slice] = []
    for start in range(0, n, width):
        span = slice(start, min(start + width, n))
        count = span.stop - start
        scores = torch._int_mm(prepared.codebook, prepared.vectors[:, span], out=memory[: k * count].view(k, count))
        found = _within_margin(scores.unflatten(0, (-1, _GROUP)), prepared.margin[span])
        if found is None:
            crowded.append(span)
        else:
            rows.append(found[0] + start)
            codes.append(found[1])
    empty = torch.empty(0, dtype=torch.int64)
    return torch.cat([empty, *rows]), torch.cat([empty, *codes]), crowded


def _within_margin(
    groups: Int32[Tensor, "groups size n"], margin: Int32[Tensor, " n"]
) -> tuple[Int64[Tensor, " c"], Int64[Tensor, " c"]] | None:
    """Return the row and the codeword of each score within the margin of the row's best, or None if too many are."""
    best_of_groups = groups.amax(dim=1)
    least = best_of_groups.amax(dim=0) - margin
    group, row = (best_of_groups >= least).nonzero(as_tuple=True)
    if len(group) > _CROWDED * len(margin):
        return None
    member_of, place = (groups[group, :, row] >= least[row].unsqueeze(1)).nonzero(as_tuple=True)
    if len(place) > _CROWDED * len(margin):
        return None
    return row[member_of], group[member_of] * _GROUP + place


def _best_of(
    scores: Float[Tensor, " c"], rows: Int64[Tensor, " c"], codes: Int64[Tensor, " c"], *, n: int
) -> Int64[Tensor, " n"]:
    """Return the code of the largest score in each of `n` rows, the lowest if scores are equal, or 0 without scores."""
    largest = torch.full((n,), -torch.inf).scatter_reduce_(0, rows, scores, "amax")
    leading = scores == largest[rows]
    return torch.zeros(n, dtype=torch.int64).scatter_reduce_(
        0, rows[leading], codes[leading], "amin", include_self=False
    )
