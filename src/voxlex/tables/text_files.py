"""Read tables that spreadsheets and people write as text: encodings, separators, decimal commas, empty margins."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = {b"PK\x03\x04": "a zip archive, such as an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}
_SEPARATORS = "\t;,|"
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+")
_WHOLE = re.compile(r"[+-]?\d+")
_FORMULA = re.compile(r"(?:')*[=+\-@\t\r]")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """The cells of a table of text.

    Attributes:
        table: The cells as they are written, with a number for each decimal comma.
        lines: The line of the file at which each row ends.
        notes: What was assumed about the file.
    """

    table: pd.DataFrame
    lines: np.ndarray
    notes: tuple[str, ...] = ()


def read_text(path: Path) -> Cells:
    """Read a table from a text file, in UTF-8, UTF-16 or UTF-32, or else in the encoding of Windows in Western Europe.

    The separator is a tab, semicolon, comma or bar, whichever the header has, or what a first line `sep=;` says. Empty
    rows and columns without a name or a value are left out.

    Raises:
        DataError: If the file is not text, a quote is not closed, or a row has more or fewer cells than the header.
    """
    text, notes = _decode(path)
    text, separator = _separator_of(text, tabs=path.suffix.lower() == ".tsv")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] | None = None
    cells, lines = [], []
    try:
        for row in rows:
            if not row or (len(row) > 1 and not any(cell.strip() for cell in row)):
                continue
            if names is None:
                names = _without_empty_end(row)
                continue
            extra = row[len(names) :]
            if len(row) < len(names) or any(cell.strip() for cell in extra):
                raise DataError(
                    f"{path}: line {rows.line_num}: expected {len(names)} cells as in the header, got {len(row)}"
                )
            cells.append([without_quote(cell) for cell in row[: len(names)]])
            lines.append(rows.line_num)
    except csv.Error as cause:
        raise DataError(
            f"{path}: line {rows.line_num}: cannot be read as a table: {cause}; is a quote closed?"
        ) from cause
    names = [without_quote(name) for name in names or []]
    table = pd.DataFrame(cells, columns=names, dtype=object)
    return Cells(table=_with_points(table, separator), lines=np.array(lines, dtype=int), notes=notes)


def as_cell(value: object) -> object:
    """Return text that no spreadsheet takes for a formula: with an apostrophe before "=", "+", "-" or "@"."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def without_quote(cell: str) -> str:
    """Return a cell without the apostrophe of `as_cell`."""
    return cell[1:] if _QUOTED.match(cell) else cell


def without_controls(text: str) -> str:
    """Return text without control characters, such as those that move the cursor of a terminal."""
    return _CONTROLS.sub("", text)


def _decode(path: Path) -> tuple[str, tuple[str, ...]]:
    data = path.read_bytes()
    for start, what in _WORKBOOKS.items():
        if data.startswith(start):
            raise DataError(f"{path}: expected text, got {what}; save it as CSV UTF-8 and give that file")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _unmarked_utf16(data)
    if encoding is not None:
        try:
            return data.decode(encoding), ()
        except UnicodeDecodeError as cause:
            raise DataError(f"{path}: cannot be read as {encoding}: {cause.reason} at byte {cause.start}") from cause
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise DataError(f"{path}: line {line}: expected text, got a byte of value 0; is it a table?")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as cause:
        line = data[: cause.start].count(b"\n") + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise DataError(f"{path}: line {line}: cannot be read as UTF-8; save it as CSV UTF-8") from None
    note = (
        f"{path.name}: is not UTF-8 (line {line}), so it is read as Windows-1252; if letters are wrong, save it as CSV "
        "UTF-8"
    )
    return text, (note,)


def _unmarked_utf16(data: bytes) -> str | None:
    """Return the encoding of text in which every second byte of most is zero."""
    start = data[:4096]
    if len(start) < 4 or len(data) % 2:
        return None
    zeros = np.frombuffer(start[: len(start) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    little, big = zeros[:, 1].mean(), zeros[:, 0].mean()
    if max(little, big) < 0.5 or min(little, big) > 0.1:
        return None
    return "utf-16-le" if little > big else "utf-16-be"


def _separator_of(text: str, *, tabs: bool) -> tuple[str, str]:
    """Return the text and its separator. A line that names the separator, as Excel writes it, becomes empty."""
    named = re.match(r'"?sep=(.)"?[^\S\n]*(?=\r?\n|\r)', text, re.IGNORECASE)
    if named:
        return text[named.end() :], named.group(1)
    header = next((line for line in text.splitlines() if line.strip(_SEPARATORS + " ")), "")
    header = re.sub(r'"[^"]*"', "", header)
    usual = "\t" if tabs else ","
    counts = {separator: header.count(separator) for separator in _SEPARATORS}
    best = max(counts, key=lambda separator: (counts[separator], separator == usual))
    return text, best if counts[best] else usual


def _without_empty_end(header: list[str]) -> list[str]:
    while header and not header[-1].strip():
        header = header[:-1]
    return header


def _with_points(table: pd.DataFrame, separator: str) -> pd.DataFrame:
    """Write numbers with a point where the comma is the decimal sign: in tables that a comma does not separate."""
    if separator not in ";\t":
        return table
    result = {}
    for place in range(len(table.columns)):
        column = table.iloc[:, place]
        known = column[column.str.strip() != ""].str.strip()
        decimal = known.str.fullmatch(_DECIMAL) | known.str.fullmatch(_THOUSANDS)
        numbers = decimal | known.str.fullmatch(_WHOLE)
        # In a table with tabs, "1,500" may be one thousand and five hundred.
        sure = separator == ";" or not known[decimal].str.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+").all()
        if decimal.any() and numbers.all() and sure:
            points = column.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
            column = points.where(column.str.contains(",", regex=False), column)
        result[place] = column
    converted = pd.DataFrame(result, index=table.index)
    converted.columns = table.columns
    return converted
