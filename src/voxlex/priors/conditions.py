"""What a prior can be asked for: columns of a table, how their values become numbers, and how a prior sees these."""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

Condition = Float[Tensor, "_ conditions"]
"""What is known of images, encoded by `Conditions`: a row for each image, NaN where it is not known."""


@runtime_checkable
class Table(Protocol):
    """Columns by their names, such as a dict of lists or a data frame."""

    def __iter__(self) -> Iterator[Any]: ...
    def __contains__(self, name: Any, /) -> bool: ...
    def __getitem__(self, name: Any, /) -> Any: ...


@dataclass(frozen=True)
class Categorical:
    """A column of names; each is encoded as its position among them."""

    name: str
    values: tuple[str, ...]

    def encode(self, value: object) -> float:
        """Return the position of a value.

        Raises:
            ValueError: If it is not one of `values`.
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
        """Return the place of a number, or of its text, in the range.

        Raises:
            ValueError: If it is not a number, or lies beyond the range.
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

    A cell of a table that is empty, "", None or NaN, is not known.
    """

    columns: tuple[Categorical | Numeric, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the order of their numbers in a condition."""
        return [column.name for column in self.columns]

    @classmethod
    def of(cls, table: Table, names: Sequence[str]) -> "Conditions":
        """Learn from the columns of a table what can be asked for; a column without any known value is left out.

        A column of numbers is numeric, any other categorical.

        Raises:
            ValueError: If the table has no such column, or a number is infinite.
        """
        missing = [name for name in names if name not in table]
        if missing:
            raise ValueError(f"no column {missing[0]!r} to condition on; there are {', '.join(map(str, table))}")
        known = {name: [value for value in listed(name, table[name]) if not _missing(value)] for name in names}
        return cls(tuple(_column(name, values) for name, values in known.items() if values))

    def encode(self, wanted: Table) -> Condition:
        """Encode what somebody asks for, one row for each image; a column that is not given is not known.

        Args:
            wanted: Values by name: lists, tuples, arrays, tensors or columns of a data frame.

        Raises:
            ValueError: If a name or a value is unknown to this prior, or the columns differ in length.
        """
        strange = [name for name in wanted if name not in self.names]
        if strange:
            known = ", ".join(self.names) or "none"
            raise ValueError(f"unknown condition {strange[0]!r}; known are {known}")
        columns = {name: listed(name, wanted[name]) for name in wanted}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"condition: expected as many values for each column, got {lengths}")
        return self._encode(columns, next(iter(lengths.values()), 0), strict=True)

    def look_up(self, table: Table) -> Condition:
        """Encode the rows of a table that may have other columns, or lack some; unknown values are not known."""
        columns = {name: listed(name, table[name]) for name in self.names if name in table}
        return self._encode(columns, next((len(table[name]) for name in table), 0), strict=False)

    def check(self, condition: Tensor, n: int) -> None:
        """Raise ValueError unless a condition is what `encode` would give for `n` images."""
        if condition.shape != (n, len(self.columns)):
            expected = f"({n}, {len(self.columns)}), a row for each image and a column for each condition"
            raise ValueError(f"expected a condition {expected} ({', '.join(self.names)}), got {tuple(condition.shape)}")
        for column, encoded in zip(self.columns, condition.unbind(dim=1), strict=True):
            if encoded.is_cuda and torch.cuda.is_current_stream_capturing():
                continue  # a recorded graph cannot branch on values
            fits = column.fits(encoded) | encoded.isnan()
            if not fits.all():
                raise ValueError(f"{column.name}: expected encoded values of {column}, got {encoded[~fits][0]:g}")

    def resolve(self, condition: Condition | None, n: int) -> Condition:
        """Return the condition of each of `n` images, checked; all unknown if there is none."""
        if condition is None:
            return torch.full((n, len(self.columns)), math.nan)
        self.check(condition, n)
        return condition

    def with_and_without(self, condition: Condition | None, n: int) -> Condition:
        """Return `n` images under their conditions, and then the same images under none, for guidance.

        Raises:
            ValueError: If there are no conditions, or of an image nothing is known.
        """
        condition = self.resolve(condition, n)
        if not self.columns:
            raise ValueError("guidance needs a conditional prior; this one has no conditions")
        if bool(condition.isnan().all(dim=1).any()):
            raise ValueError("guidance needs a condition for every image, but of some nothing is known")
        return torch.cat([condition, torch.full_like(condition, math.nan)])

    def describe(self) -> list[dict[str, Any]]:
        """Return the columns as JSON can hold them; `from_description` reads it back."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_description(cls, description: Sequence[Mapping[str, Any]]) -> "Conditions":
        """Return the conditions that `describe` has written."""
        return cls(
            tuple(
                Categorical(column["name"], tuple(column["values"])) if "values" in column else Numeric(**column)
                for column in description
            )
        )

    def _encode(self, columns: Mapping[str, Sequence[Any]], rows: int, *, strict: bool) -> Condition:
        encoded = torch.full((rows, len(self.columns)), math.nan)
        for place, column in enumerate(self.columns):
            if column.name in columns:
                numbers = [_encode(column, value, strict=strict) for value in columns[column.name]]
                encoded[:, place] = torch.tensor(numbers)
        return encoded


def values_for(name: str, wanted: Any, n: int) -> list[Any]:
    """Return the value of a condition for each of `n` images.

    Args:
        name: The condition.
        wanted: One value for all images, also as an array without axes, or a value for each: a list, a tuple, an array,
            a tensor, a column of a data frame or anything else that has a length.
        n: Number of images.

    Raises:
        ValueError: If there is another number of values.
    """
    single = isinstance(wanted, str | bytes) or not hasattr(wanted, "__len__") or getattr(wanted, "ndim", 1) == 0
    values = [_plain(wanted)] * n if single else listed(name, wanted)
    if len(values) != n:
        raise ValueError(f"{name}: expected one value for each of {n} images, got {len(values)}")
    return values


def listed(name: str, values: Any) -> list[Any]:
    """Return the values of a column as plain Python values.

    Raises:
        ValueError: If the column is not a sequence, or has more than one axis.
    """
    if isinstance(values, str | bytes | Mapping | Set) or getattr(values, "ndim", 1) != 1:
        found = f"the shape {tuple(values.shape)}" if hasattr(values, "shape") else f"a {type(values).__name__}"
        raise ValueError(f"{name}: expected a list of values, one for each image, got {found}")
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Return an array or a tensor without axes as the Python value in it."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _encode(column: Categorical | Numeric, value: Any, *, strict: bool) -> float:
    if _missing(value):
        return math.nan
    try:
        return column.encode(value)
    except ValueError:
        if strict:
            raise
        return math.nan


def _column(name: str, known: Sequence[Any]) -> Categorical | Numeric:
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in known):
        return Numeric(name, low=float(min(known)), high=float(max(known)))
    return Categorical(name, tuple(sorted({str(value) for value in known})))


def _missing(value: Any) -> bool:
    """Tell None, "", NaN and the missing values of data frames from values."""
    if value is None or isinstance(value, str):
        return not value
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA compares as neither true nor false
        return True


class ConditionEmbedding(nn.Module):
    """One vector for each image: a SiLU of the sum of the embeddings of its conditions.

    Args:
        conditions: What each number of a condition means.
        width: Size of the vectors.
        dropout: Share of the images of which a condition is hidden in training, in [0, 1); see `hide`.
    """

    def __init__(self, conditions: Conditions, *, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.shared = nn.Parameter(torch.zeros(width))
        self.columns = nn.ModuleList(
            CategoryEmbedding(len(column.values), width) if isinstance(column, Categorical) else NumberEmbedding(width)
            for column in conditions.columns
        )

    def forward(self, condition: Condition) -> Float[Tensor, "b c"]:
        """Embed the conditions of images."""
        if self.training and self.dropout:
            condition = hide(condition, self.dropout)
        total = self.shared.expand(condition.shape[0], -1)  # an exported graph would keep what `len` returns
        for embed, encoded in zip(self.columns, condition.unbind(dim=1), strict=True):
            total = total + embed(encoded)
        return functional.silu(total)


class CategoryEmbedding(nn.Module):
    """A vector for each of the values of a categorical column, and one for a value that is not known."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(values + 1, width)

    def forward(self, encoded: Float[Tensor, "b"]) -> Float[Tensor, "b c"]:
        """Embed positions among the values."""
        return self.table(encoded.nan_to_num(nan=self.table.num_embeddings - 1).long())


class NumberEmbedding(nn.Module):
    """A projection of Fourier features (Tancik et al., 2006.10739) of a number, and a vector for an unknown one.

    The features are sin(2^k π x / 2) and cos(2^k π x / 2), k = 0 … 3, of x in [-1, 1]. The first sine rises from one
    end of the range to the other; the last pair tells apart numbers that differ by a sixteenth of the range.
    """

    octaves = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * self.octaves, width)
        self.unknown = nn.Parameter(torch.zeros(width))

    def forward(self, encoded: Float[Tensor, "b"]) -> Float[Tensor, "b c"]:
        """Embed numbers in [-1, 1]."""
        x = encoded.nan_to_num().to(self.unknown.dtype)
        octaves = 2.0 ** torch.arange(self.octaves, dtype=x.dtype, device=x.device)
        angles = x.unsqueeze(1) * octaves * (math.pi / 2)
        projected = self.project(torch.cat([angles.sin(), angles.cos()], dim=1))
        return torch.where(encoded.isnan().unsqueeze(1), self.unknown, projected)


def hide(condition: Condition, share: float) -> Condition:
    """Make each number NaN with probability `share`, in half of these cases together with all others of its image.

    This way a prior also learns the distributions given some of the conditions, and the one given none, which
    classifier-free guidance needs (Ho and Salimans, 2207.12598).
    """
    together = torch.rand(len(condition), 1, device=condition.device) < share / 2
    # Of those that are not hidden together, 1 − (1 − share) / (1 − share / 2) = share / (2 − share) must be hidden.
    alone = torch.rand(condition.shape, device=condition.device) < share / (2 - share)
    return condition.masked_fill(together | alone, math.nan)
