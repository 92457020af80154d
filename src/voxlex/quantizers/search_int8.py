"""Nearest codeword search on a CPU with 8-bit dot products: a screening with a proven error bound, then exact scores.

Products of 8-bit integers take a fraction of the time of float32 ones. They are formed exactly; what they miss of the
scores is only what rounding took from vectors and codewords, which is known. A codeword whose integer score stays below
the best one by more than that cannot be the nearest; the few others are scored in float32.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8, Int32, Int64
from torch import Tensor

_LARGEST = 127
_TILE_ELEMENTS = 3 * 2**19
"""Integer scores held at a time: 6 MiB."""

_GROUP = 32
"""Codewords whose maximum is taken first, and of which all are looked at where it may hold the nearest."""

_ROUNDED_ROWS = 2**11
"""Rows rounded at a time; in float32 they would be as large as the vectors themselves."""

_SCORED_ELEMENTS = 2**18
"""Numbers of vectors, and of codewords, gathered at a time to be scored: 1 MiB."""

_CROWDED = 64
"""Groups or codewords for each vector of a tile above which it is better scored in float32 as a whole."""

_MOST_BIAS_COLUMNS = 32


class _Screening(NamedTuple):
    """What 8-bit scores need, and how far they may be from the truth.

    Attributes:
        vectors: Rounded, one a column, below them the factors of the bias.
        codebook: Rounded, beside them the digits of the bias, last codeword repeated up to whole groups.
        margin: For each vector: a codeword whose integer score is below the best by more than this is not the nearest.
    """

    vectors: Int8[Tensor, "c n"]
    codebook: Int8[Tensor, "k_padded c"]
    margin: Int32[Tensor, " n"]


def suits(vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> bool:
    """Whether there are exact 8-bit dot products, and products take most of the time of a search."""
    return (
        vectors.device.type == "cpu"
        and vectors.shape[1] >= 32
        and len(codebook) >= 4096
        and len(vectors) >= 256
        and has_exact_products()
    )


def has_exact_products() -> bool:
    """Whether PyTorch multiplies matrices of 8-bit integers, the processor is quick at it (VNNI), and sums are exact.

    PyTorch does not promise any of the functions that tell.
    """
    return (
        hasattr(torch, "_int_mm")
        and hasattr(torch.cpu, "_is_vnni_supported")
        and torch.cpu._is_vnni_supported()
        and _sums_do_not_saturate()
    )


@cache
def _sums_do_not_saturate() -> bool:
    """Whether products are exact; without VNNI, or where oneDNN is told not to use it, 16 bits hold a sum of two."""
    signs = torch.tensor([1, -1], dtype=torch.int8).repeat_interleave(32).unsqueeze(1)
    largest = (_LARGEST * signs).expand(-1, 64).contiguous()
    return torch.equal(torch._int_mm(largest, largest.t()), largest.int() @ largest.t().int())


def _screening(
    vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], bias: Float[Tensor, " k"]
) -> _Screening | None:
    """Round vectors, codewords and bias to 8 bits; None where that would tell nothing, or numbers are not finite.

    With `a·q` for a rounded vector and `b·r` for a rounded codeword, `|x·e − ab q·r| ≤ ‖x − aq‖‖e‖ + ‖aq‖‖e − br‖` by
    Cauchy-Schwarz. Two scores may both be wrong by that, in opposite directions.
    """
    step, codebook_step = (float(tensor.abs().amax()) / _LARGEST for tensor in (vectors, codebook))
    unit = step * codebook_step
    if not 1e-30 < unit < 1e30:
        return None
    rounded, kept, lost = _rounded(vectors, step)
    rounded_codebook, _, codebook_lost = _rounded(codebook, codebook_step)
    error = lost * codebook.norm(dim=1).amax() + kept * codebook_lost.amax()
    # Beyond it: half a unit of the bias, and what float32 loses in computing the bias, the norms and the exact scores.
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
    """Return rows in whole steps, and the lengths of what each kept and of what it lost."""
    rounded, kept, lost = [], [], []
    for some in rows.split(_ROUNDED_ROWS):
        whole = (some / step).round_()
        rounded.append(whole.to(torch.int8))
        kept.append(step * whole.norm(dim=1))
        lost.append(torch.sub(some, whole, alpha=step).norm(dim=1))
    return torch.cat(rounded), torch.cat(kept), torch.cat(lost)


def _digits(levels: Float[Tensor, " k"], columns: int) -> Int8[Tensor, "k c"]:
    """Write whole numbers as 127 times a sum of `columns` 8-bit numbers, plus one more."""
    high = (levels / _LARGEST).round()
    # ⌊h/m⌋ + ⌊(h+1)/m⌋ + … + ⌊(h+m−1)/m⌋ = h (Hermite): the parts are as equal as they can be.
    parts = ((high.unsqueeze(1) + torch.arange(columns)) / columns).floor()
    return torch.cat([parts, (levels - _LARGEST * high).unsqueeze(1)], dim=1).to(torch.int8)


def nearest(vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> tuple[Int64[Tensor, " n"], list[slice]]:
    """Return the index of the codeword nearest to each vector, where all codewords are different.

    Also returns the rows to search in another way, because 8 bits leave too many codewords there; theirs are not set.
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
    """Return every pair of a vector and a codeword that may be its nearest, and the rows where these are too many."""
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
    """Return row and codeword of each score within the margin of the row's best; None if they are too many."""
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
    """Return for each of `n` rows the code of its largest score, the lowest code among equals; 0 without a score."""
    largest = torch.full((n,), -torch.inf).scatter_reduce_(0, rows, scores, "amax")
    leading = scores == largest[rows]
    return torch.zeros(n, dtype=torch.int64).scatter_reduce_(
        0, rows[leading], codes[leading], "amin", include_self=False
    )
