"""Find the rows of a table that are equal.

The scores of equal codewords may differ in their last bit, because the rounding of a product depends on the position of
a row in a tile and on the processor. So a search must not break ties by scores. It finds equal codewords beforehand and
takes the first of them.
"""

import functools

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_KEYED_ELEMENTS = 2**16
"""How many elements are multiplied at a time: 512 KiB of int64, which fits in the cache of a core."""


def first_of_equals(rows: Float[Tensor, "k d"]) -> Int64[Tensor, " k"]:
    """Return, for each row, the index of the first row that is equal in float32. 0 and −0 are equal.

    For rows that are not finite, it is undefined whether they count as equal. Their index is never above their own.
    """
    rows = rows.detach().float()
    if torch.compiler.is_exporting():
        return _by_sorting(rows)
    if torch.compiler.is_compiling():
        return _as_operator(rows)
    return _by_keys(rows)


@torch.library.custom_op("voxlex::first_of_equals", mutates_args=())
def _as_operator(rows: Tensor) -> Tensor:
    """Form one node of a compiled graph, whose shapes cannot depend on the number of different rows."""
    return _by_keys(rows)


@_as_operator.register_fake
def _(rows: Tensor) -> Tensor:
    return rows.new_empty(len(rows), dtype=torch.int64)


def _by_keys(rows: Float[Tensor, "k d"]) -> Int64[Tensor, " k"]:
    """Compare one integer key for each row, and compare rows in full only if they share a key.

    This costs a fraction of a search. Equal rows have equal keys, because a sum of integers does not depend on the
    order of its terms, even where it overflows.
    """
    d = rows.shape[1]
    keys = torch.cat(
        [
            ((some + 0.0).view(torch.int32) * _multipliers(d, rows.device)).sum(dim=1)  # −0 + 0 is 0
            for some in rows.split(max(_KEYED_ELEMENTS // max(d, 1), 1) if rows.is_cpu else len(rows))
        ]
    )
    if not rows.is_cpu:
        return _first_of_runs(rows, keys)
    different, groups = keys.unique(return_inverse=True)
    if len(different) == len(rows):
        return torch.arange(len(rows), device=rows.device)
    first = _first_of_groups(groups)
    return first if torch.equal(rows, rows[first]) else _by_sorting(rows)


def _first_of_runs(rows: Float[Tensor, "k d"], keys: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
    """Return the first row of each run of equal rows in the order of their keys, without waiting for a GPU to count.

    Different rows with one key, of which there are none in practice, would only hide that some others are equal.
    """
    order = keys.argsort(stable=True)
    ordered = rows[order]
    begins = torch.ones_like(order, dtype=torch.bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(dim=1)
    places = torch.arange(len(rows), device=rows.device)
    begin = torch.where(begins, places, 0).cummax(dim=0).values
    return torch.empty_like(order).scatter_(0, order, order[begin])


@functools.cache
def _multipliers(d: int, device: torch.device) -> Int64[Tensor, " d"]:
    return torch.randint(-(2**63), 2**63 - 1, (d,), generator=torch.Generator().manual_seed(0)).to(device)


def _by_sorting(rows: Float[Tensor, "k d"]) -> Int64[Tensor, " k"]:
    # Sorting does not define the order of rows that hold NaN.
    return _first_of_groups(rows.nan_to_num().unique(dim=0, return_inverse=True)[1])


def _first_of_groups(groups: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
    indices = torch.arange(len(groups), device=groups.device)
    return torch.full_like(groups, len(groups)).scatter_reduce(0, groups, indices, "amin")[groups]
