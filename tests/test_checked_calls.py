"""The tests see calls that do not fit their signatures: types, shapes, and shapes that do not agree."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from checked_calls import _checked
from voxlex.quantizers.outliers import are_far
from voxlex.rows import evenly_spaced, in_order

FLAT, TALL = torch.zeros(2, 3), torch.zeros(3, 3)


@_checked
def added(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return x if x.sum() else y.T.reshape(-1, 2)


@_checked
def rows_of(x: Float[Tensor, "n d"], *more: Float[Tensor, "n d"]) -> Iterator[Tensor]:
    yield from (x, *more)


@_checked
@dataclass
class Pair:
    one: Float[Tensor, "n d"]
    other: Float[Tensor, "n"]


@_checked
def first(pair: tuple[Float[Tensor, "n d"], Float[Tensor, "n"]], side: Literal["left", "right"] = "left") -> Tensor:
    return pair[0]


class Stored(np.ndarray):
    """An array of another type, as those that are mapped from a file."""


@_checked
def size_of(x: Float[np.ndarray, "n d"]) -> int:
    return x.size


def made(result: object) -> Callable:
    @_checked
    def count(x: Float[Tensor, "n d"]) -> "int":
        return result

    return count


def test_what_fits_passes() -> None:
    assert added(FLAT + 1, FLAT).shape == (2, 3)
    assert len(list(rows_of(FLAT, FLAT))) == 2
    assert Pair(FLAT, torch.zeros(2)).one is FLAT
    assert made(3)(FLAT) == 3
    assert size_of(FLAT.numpy().view(Stored)) == 6
    assert first((FLAT, FLAT[:, 0]), "right") is FLAT


@pytest.mark.parametrize(
    "call",
    [
        lambda: added(FLAT, TALL),
        lambda: added(FLAT, FLAT),  # returns another shape
        lambda: added(FLAT.int(), FLAT.int()),
        lambda: rows_of(FLAT[0]),
        lambda: rows_of(FLAT, FLAT, TALL),
        lambda: Pair(FLAT, torch.zeros(3)),
        lambda: first((FLAT, FLAT[0])),
        lambda: first((FLAT, FLAT[:, 0]), "up"),
        lambda: size_of(FLAT[0].numpy().view(Stored)),
        lambda: made(3)(FLAT[0]),
        lambda: made("3")(FLAT),
        lambda: are_far(torch.zeros(3)),
        lambda: evenly_spaced("3", 2),
        lambda: in_order(len, [], threads="1", ahead=1),
    ],
)
def test_what_does_not_fit_is_an_error(call: Callable) -> None:
    test_what_fits_passes()  # calls that were checked are no excuse for others
    for _ in range(2):
        with pytest.raises(TypeCheckError):
            call()
