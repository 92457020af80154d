"""Read tables of users as text, convert columns to types, and find columns that identify persons."""

import csv
import re
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.tables.naming import TABLE_SUFFIXES, is_table, split_named

_UNKNOWN = {"", "n/a", "na", "nan", "null", "<na>", "#n/a", "."}
_NAMES = {"name", "patientname", "fullname", "firstname", "lastname", "surname", "familyname", "givenname", "initials"}
_NAMES |= {"address", "phone", "telephone", "email", "ssn", "nhsnumber", "mrn", "medicalrecordnumber"}
_BIRTH = re.compile(r"birth|(?:^|_)dob(?:$|_)", re.IGNORECASE)
_DAY = re.compile(
    r"(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T].*)?"
    r"|\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ](?:19|20)\d\d(?: .*)?"
)
_COMPACT_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?")
_LISTED = 5


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as text, so that "007" stays "007". Markers of unknown values ("n/a", "NaN") become "".

    Args:
        path: A .csv (separated by commas or semicolons), .tsv or .parquet file.

    Raises:
        DataError: If the file is missing, is not such a table, has no rows, or has a column twice.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if not is_table(path):
        raise DataError(f"{path}: expected a table ({', '.join(TABLE_SUFFIXES)}), got {path.suffix!r}")
    try:
        parquet = path.suffix.lower() == ".parquet"
        table = pd.read_parquet(BytesIO(path.read_bytes())) if parquet else _read_text(path)
    except DataError:
        raise
    except Exception as cause:  # csv, encodings and parquet raise different errors
        raise DataError(f"{path}: cannot be read as a table: {' '.join(str(cause).split())}") from cause
    table.columns = [str(name).strip() for name in table.columns]
    table = table.loc[:, table.columns != ""]  # row numbers that some exports add
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DataError(f"{path}: expected different names of columns, got {twice[0]!r} twice")
    if table.empty:
        raise DataError(f"{path}: expected at least one row, got none")
    return pd.DataFrame({name: as_text(table[name]) for name in table.columns})


def as_text(column: pd.Series) -> pd.Series:
    """Convert every value to text, and markers of unknown values to ""."""
    text = column.map(_written).astype(object)
    return text.where(~text.str.lower().isin(_UNKNOWN), "")


def typed(column: pd.Series) -> pd.Series:
    """Convert a column to integers, numbers (NaN for unknown), or text ("" for unknown).

    Codes with leading zeros, such as "007", stay text.
    """
    column = as_text(column)
    known = column[column != ""]
    if known.empty or known.str.fullmatch(r"[+-]?0\d+").any():
        return column
    numbers = pd.to_numeric(known, errors="coerce").astype(float)
    if not np.isfinite(numbers).all():
        return column
    if len(known) == len(column) and (numbers == numbers.round()).all() and (numbers.abs() < 2**53).all():
        return numbers.astype("int64")
    return numbers.reindex(column.index)


def identifies(column: pd.Series) -> bool:
    """Tell whether a column contains names of persons or dates, and so must not go into a manifest.

    A single full date is enough, because a date of birth or of a visit can identify a person.
    """
    name = str(column.name)
    if _BIRTH.search(name) or re.sub(r"[^a-z]", "", name.lower()) in _NAMES:
        return True
    return holds_days(column)


def holds_days(column: pd.Series) -> bool:
    """Tell whether a column of text contains full dates. Numbers count as dates only if all of them can be dates."""
    known = column[column != ""]
    if known.empty:
        return False
    return bool(known.str.fullmatch(_DAY).any() or known.str.fullmatch(_COMPACT_DAY).all())


def days_of(column: pd.Series, *, day_first: bool) -> pd.Series:
    """Convert dates to the form "20060519", and other values to "". With `day_first`, 5/6/2006 is in June."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas warns about dates in other orders
        read = pd.to_datetime(column, errors="coerce", dayfirst=day_first, format="mixed")
    return read.dt.strftime("%Y%m%d").fillna("").astype(object)


def named_splits(column: pd.Series, *, where: str | Path) -> pd.Series | None:
    """Read the splits of a user's table. Common synonyms, such as "val" or "testing", are accepted.

    Args:
        column: Column of text from a table whose first row is line 2.
        where: Name of the table, for messages.

    Returns:
        "train", "validation" or "test" for each row; None if the column is empty.

    Raises:
        DataError: If a row has another value. The message lists the lines.
    """
    if (column == "").all():
        return None
    splits = column.map(lambda word: split_named(word.strip()))
    if (splits == "").any():
        wrong = int((splits == "").sum())
        lines = [f"line {line + 2} {column.iat[line]!r}" for line in np.flatnonzero(splits == "")[:_LISTED]]
        more = f" and {wrong - _LISTED} more" if wrong > _LISTED else ""
        got = f"{', '.join(lines)}{more}"
        raise DataError(f"{where}: split: expected train, validation or test in every row, got {got}")
    return splits


def _read_text(path: Path) -> pd.DataFrame:
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        if separator not in header and header.count(";") > header.count(","):
            separator = ";"  # spreadsheets write semicolons where the comma is the decimal separator
        file.seek(0)
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
        names = next(rows, [])
        cells = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"{path}: line {rows.line_num}: expected {len(names)} cells as in the header, got {len(row)}"
                )
            cells.append(row)
    return pd.DataFrame(cells, columns=names, dtype=object)


def _written(value: object) -> str:
    if value is None or value is pd.NaT:
        return ""
    # Parquet returns integers with gaps as floats: 70.0 was 70.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
