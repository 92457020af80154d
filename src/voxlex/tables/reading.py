"""Read tables of users as text, convert columns to types, and find columns that identify persons."""

import re
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from voxlex.errors import DataError
from voxlex.tables.columns import is_personal, letters
from voxlex.tables.naming import TABLE_SUFFIXES, day_in, is_table, split_named
from voxlex.tables.persons import is_persons_name
from voxlex.tables.text_files import Cells, read_text, without_controls

_UNKNOWN = {"", "n/a", "na", "nan", "null", "<na>", "#n/a", "."}
_NAMES = {"name", "patientname", "fullname", "firstname", "lastname", "surname", "familyname", "givenname", "initials"}
_NAMES |= {"address", "phone", "telephone", "email", "ssn", "nhsnumber", "mrn", "medicalrecordnumber"}
_BIRTH = re.compile(r"birth|(?:^|_)dob(?:$|_)", re.IGNORECASE)
_DAY = re.compile(
    r"(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T].*)?"
    r"|\d{1,2}[-/. ](?:\d{1,2}|[^\W\d_]{3,9})[-/. ]+(?:19|20)\d\d(?:[ ,].*)?"
    r"|[^\W\d_]{3,9}[-. ]+\d{1,2},? (?:19|20)\d\d(?:[ ,].*)?"
)
_SHORT_DAY = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d\d(?: .*)?")
_COMPACT_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?")
_LISTED = 5
_WORKBOOKS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"}
_TEXTS = {".txt", ".tab", ".dat"}


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as text, so that "007" stays "007". Markers of unknown values ("n/a", "NaN") become "".

    Args:
        path: A .csv, .tsv or .parquet file. In text, commas, semicolons or tabs separate the cells; see `read_text`.

    Raises:
        DataError: If the file is missing, is not such a table, has no rows, or has a column twice.
    """
    return read_cells(path).table


def read_cells(path: str | Path) -> Cells:
    """Read a table like `read_table`, with the line of each row and with notes about what was assumed."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    check_no_workbook(path)
    if not is_table(path):
        raise DataError(f"{path}: expected a table ({', '.join(TABLE_SUFFIXES)}), got {path.suffix!r}")
    try:
        cells = _read_parquet(path) if path.suffix.lower() == ".parquet" else read_text(path)
    except DataError:
        raise
    except Exception as cause:  # reading files and parquet raise different errors
        raise DataError(f"{path}: cannot be read as a table: {' '.join(str(cause).split())}") from cause
    table = cells.table
    table.columns = [without_controls(str(name)).strip() for name in table.columns]
    table = table.loc[:, table.columns != ""]  # row numbers that some exports add
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DataError(f"{path}: expected different names of columns, got {twice[0]!r} twice")
    if table.empty:
        raise DataError(f"{path}: expected at least one row, got none")
    return replace(cells, table=pd.DataFrame({name: as_text(table[name]) for name in table.columns}))


def check_no_workbook(path: Path) -> None:
    """Refuse the file of a spreadsheet program, which is not read, and say what to do.

    Raises:
        DataError: If the name is that of such a file, or of a table as plain text.
    """
    suffix = path.suffix.lower()
    if suffix in _WORKBOOKS:
        raise DataError(
            f"{path}: expected a table ({', '.join(TABLE_SUFFIXES)}), got a workbook; save the sheet as CSV UTF-8"
        )
    if suffix in _TEXTS:
        raise DataError(f"{path}: expected a table ({', '.join(TABLE_SUFFIXES)}), got {suffix!r}; rename it to .csv")


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
    if _BIRTH.search(name) or letters(name) in _NAMES or is_personal(name):
        return True
    return holds_days(column) or _holds_names_or_stamps(column)


def holds_days(column: pd.Series) -> bool:
    """Tell whether a column of text contains full dates. Numbers count as dates only if all of them can be dates."""
    known = column[column != ""]
    if known.empty:
        return False
    every = known.str.fullmatch(_COMPACT_DAY).all() or known.str.fullmatch(_SHORT_DAY).all()
    return bool(every or known.str.fullmatch(_DAY).any())


def days_of(column: pd.Series, *, day_first: bool) -> pd.Series:
    """Convert dates to the form "20060519", and other values to "". With `day_first`, 5/6/2006 is in June."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas warns about dates in other orders
        read = pd.to_datetime(column, errors="coerce", dayfirst=day_first, format="mixed")
    return read.dt.strftime("%Y%m%d").fillna("").astype(object)


def named_splits(column: pd.Series, *, where: str | Path, lines: np.ndarray | None = None) -> pd.Series | None:
    """Read the splits of a user's table. Common synonyms, such as "val" or "testing", are accepted.

    Rows without a split are training rows if no row says "train": then only what is held out has been named.

    Args:
        column: Column of text.
        where: Name of the table, for messages.
        lines: Line of each row in the table; by default, the first row is line 2.

    Returns:
        "train", "validation" or "test" for each row; None if the column is empty.

    Raises:
        DataError: If a row has another value. The message lists the lines.
    """
    if (column == "").all():
        return None
    splits = column.map(lambda word: split_named(word.strip()))
    if "train" not in set(splits):
        splits = splits.where(column != "", "train")
    if (splits == "").any():
        lines = np.arange(len(column)) + 2 if lines is None else lines
        wrong = int((splits == "").sum())
        listed = [f"line {lines[row]} {column.iat[row]!r}" for row in np.flatnonzero(splits == "")[:_LISTED]]
        more = f" and {wrong - _LISTED} more" if wrong > _LISTED else ""
        got = f"{', '.join(listed)}{more}"
        raise DataError(f"{where}: split: expected train, validation or test in every row, got {got}")
    return splits


def _holds_names_or_stamps(column: pd.Series) -> bool:
    """Tell whether a text has a date in it ("scan of 2006-05-19"), or half of the values are names of persons."""
    known = column[column != ""]
    words = known[~known.str.fullmatch(r"[+-]?[\d.,]*").astype(bool)]
    if words.empty:
        return False
    return bool(words.map(day_in).astype(bool).any() or words.map(is_persons_name).mean() >= 0.5)


def _read_parquet(path: Path) -> Cells:
    try:
        stored = pq.read_table(BytesIO(path.read_bytes()))  # its path need not be Unicode
        stored.validate(full=True)  # pandas would find text that is not UTF-8 only when it is used
        table = stored.to_pandas()
    except Exception as cause:  # a damaged file makes Arrow raise nearly anything
        reason = cause.strerror if isinstance(cause, OSError) else None
        raise DataError(f"{path}: cannot be read: {reason or 'not Parquet, damaged or cut short'}") from cause
    return Cells(table=table, lines=np.arange(1, len(table) + 1) + 1)


def _written(value: object) -> str:
    if value is None or value is pd.NaT:
        return ""
    # Parquet returns integers with gaps as floats: 70.0 was 70.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):  # text whose writer did not say that it is text
        value = value.decode(errors="replace")
    return without_controls(str(value)).strip()
