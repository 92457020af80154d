"""From the values of a manifest column to the classes of a conditional prior."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.priors.base import UNKNOWN


def class_indices(values: Sequence[str], *, known: Sequence[str]) -> Int64[Tensor, " n"] | None:
    """Return the class of each value, its position in `known`; `UNKNOWN` for an empty one.

    Args:
        values: One for each image.
        known: The values that the prior knows; none for an unconditional prior, and then the result is None.

    Raises:
        ValueError: If a value is not known.
    """
    if not known:
        return None
    positions = {value: position for position, value in enumerate(known)} | {"": UNKNOWN}
    strange = sorted(set(values) - positions.keys())
    if strange:
        raise ValueError(f"unknown value {strange[0]!r}; known are {', '.join(known)}")
    return torch.tensor([positions[value] for value in values], dtype=torch.int64)
