"""What a prior can be asked for: columns of a table, and how their values become one tensor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from torch import Tensor

Condition = Float[Tensor, "_ conditions"]
"""What is known of images, encoded by `Conditions`: a row for each image, NaN where it is not known."""


@dataclass(frozen=True)
class Categorical:
    """A column of names; each is encoded as its position among them."""

    name: str
    values: tuple[str, ...]

    def encode(self, value: object) -> float:
        """The position of a value.

        Raises:
            ValueError: It is not one of `values`.
        """
        if str(value) not in self.values:
            raise ValueError(f"{self.name}: unknown value {str(value)!r}; known are {', '.join(self.values)}")
        return float(self.values.index(str(value)))

    def fits(self, encoded: Float[Tensor, "n"]) -> Bool[Tensor, "n"]:
        """Tell which numbers are positions."""
        return (encoded >= 0) & (encoded < len(self.values)) & (encoded == encoded.round())


@dataclass(frozen=True)
class Numeric:
    """A column of numbers; the range from `low` to `high` is encoded as [-1, 1]."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"{self.name}: expected a finite range, got {self.low} to {self.high}")

    def encode(self, value: object) -> float:
        """The place of a number, or of its text, in the range.

        Raises:
            ValueError: It is no number, or beyond the range.
        """
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.name}: expected a number from {self.low:g} to {self.high:g}, got {str(value)!r}")
        return 2 * (number - self.low) / (self.high - self.low) - 1 if self.high > self.low else 0.0

    def fits(self, encoded: Float[Tensor, "n"]) -> Bool[Tensor, "n"]:
        """Tell which numbers lie in the encoded range."""
        return encoded.abs() <= 1


@dataclass(frozen=True)
class Conditions:
    """The columns that a prior is conditioned on; none for an unconditional prior.

    In tables, what is empty, "", None or NaN, is not known.
    """

    columns: tuple[Categorical | Numeric, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of the columns, in the order of their numbers in a condition."""
        return [column.name for column in self.columns]

    @classmethod
    def of(cls, table: pd.DataFrame, names: Sequence[str]) -> "Conditions":
        """Learn from the columns of a table what can be asked for; a column without any known value is left out.

        A column of numbers is numeric, any other categorical.

        Raises:
            ValueError: The table has not such a column.
        """
        missing = [name for name in names if name not in table]
        if missing:
            raise ValueError(f"no column {missing[0]!r} to condition on; there are {', '.join(map(str, table))}")
        known = [table[name][~_missing(table[name])].infer_objects() for name in names]
        return cls(tuple(_column(column) for column in known if len(column)))

    def encode(self, wanted: Mapping[str, Sequence[Any]]) -> Condition:
        """Conditions that somebody asks for, one row for each image; a column that is not given is not known.

        Raises:
            ValueError: A name or a value is strange to this prior, and names the known ones; or lengths differ.
        """
        strange = [name for name in wanted if name not in self.names]
        if strange:
            known = ", ".join(self.names) or "none"
            raise ValueError(f"unknown condition {strange[0]!r}; known are {known}")
        return self._encode(pd.DataFrame(dict(wanted)), strict=True)

    def look_up(self, table: pd.DataFrame) -> Condition:
        """Conditions of the rows of a table that may hold other columns, or lack some; strange values are not known."""
        return self._encode(table, strict=False)

    def check(self, condition: Tensor, n: int) -> None:
        """Raise ValueError unless a condition is what `encode` would give for `n` images."""
        if condition.shape != (n, len(self.columns)):
            expected = f"({n}, {len(self.columns)}), a row for each image and a column for each condition"
            raise ValueError(f"expected a condition {expected} ({', '.join(self.names)}), got {tuple(condition.shape)}")
        for column, encoded in zip(self.columns, condition.unbind(dim=1), strict=True):
            fits = column.fits(encoded) | encoded.isnan()
            if not fits.all():
                raise ValueError(f"{column.name}: expected encoded values of {column}, got {encoded[~fits][0]:g}")

    def describe(self) -> list[dict[str, Any]]:
        """The columns as JSON has them; `from_description` takes it back."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_description(cls, description: Sequence[Mapping[str, Any]]) -> "Conditions":
        """Conditions that were written by `describe`."""
        return cls(
            tuple(
                Categorical(column["name"], tuple(column["values"])) if "values" in column else Numeric(**column)
                for column in description
            )
        )

    def _encode(self, table: pd.DataFrame, *, strict: bool) -> Condition:
        encoded = torch.full((len(table), len(self.columns)), math.nan)
        for place, column in enumerate(self.columns):
            if column.name in table:
                values = table[column.name]
                cells = zip(values, _missing(values), strict=True)
                numbers = [math.nan if missing else _encode(column, value, strict=strict) for value, missing in cells]
                encoded[:, place] = torch.tensor(numbers)
        return encoded


def _encode(column: Categorical | Numeric, value: object, *, strict: bool) -> float:
    try:
        return column.encode(value)
    except ValueError:
        if strict:
            raise
        return math.nan


def _column(known: pd.Series) -> Categorical | Numeric:
    name = str(known.name)
    if is_numeric_dtype(known) and not is_bool_dtype(known):
        return Numeric(name, low=float(known.min()), high=float(known.max()))
    return Categorical(name, tuple(sorted(set(known.astype(str)))))


def _missing(column: pd.Series) -> pd.Series:
    return column.isna() | (column.astype(str) == "")
