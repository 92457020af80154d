"""Tables as spreadsheets write them."""

from pathlib import Path

import pytest

from voxlex.errors import DataError
from voxlex.tables.reading import read_cells, read_table
from voxlex.tables.text_files import as_cell, without_quote

ROWS = {"path": ["a.png", "b.png"], "ort": ["München", "Köln"]}


def written(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "t.csv") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_separators(separator: str, encoding: str, end: str, tmp_path: Path) -> None:
    rows = [["path", "ort"], *map(list, zip(*ROWS.values(), strict=True))]
    path = written(tmp_path, "".join(separator.join(row) + end for row in rows), encoding=encoding)
    cells = read_cells(path)
    assert cells.table.to_dict("list") == ROWS
    assert cells.lines.tolist() == [2, 3]
    assert [f"{path.name}: is not UTF-8 (line 2), so it is read as Windows-1252" in note for note in cells.notes] == [
        True
    ] * (encoding == "cp1252")


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n'])
def test_a_first_line_that_names_the_separator(first: str, tmp_path: Path) -> None:
    cells = read_cells(written(tmp_path, f"{first}path;a,b\nx.png;1,5\n"))
    assert cells.table.to_dict("list") == {"path": ["x.png"], "a,b": ["1.5"]}
    assert cells.lines.tolist() == [3]


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("path;age\na;70,5\nb;81\n", "age", ["70.5", "81"]),
        ("path;age\na;1.234,5\nb;\n", "age", ["1234.5", ""]),
        ("path\tage\na\t70,5\n", "age", ["70.5"]),
        ("path\tcount\na\t1,500\n", "count", ["1,500"]),  # a comma between thousands, or not
        ("path;site\na;1,5 T\n", "site", ["1,5 T"]),
        ('path,age\na,"70,5"\n', "age", ["70,5"]),
        ("path;id\na;007\nb;012\n", "id", ["007", "012"]),
    ],
)
def test_decimal_commas(text: str, name: str, values: list[str], tmp_path: Path) -> None:
    assert read_table(written(tmp_path, text))[name].tolist() == values


def test_empty_rows_and_columns_at_the_margins(tmp_path: Path) -> None:
    path = written(tmp_path, "path,age,,\n\na,70,,\n,,,\nb,80,,\n,,,\n")
    cells = read_cells(path)
    assert cells.table.to_dict("list") == {"path": ["a", "b"], "age": ["70", "80"]}
    assert cells.lines.tolist() == [3, 5]
    with pytest.raises(DataError, match="line 2: expected 2 cells as in the header, got 3"):
        read_table(written(tmp_path, "path,age,\na,70,x\n"))
    with pytest.raises(DataError, match="line 3: expected 2 cells as in the header, got 1"):
        read_table(written(tmp_path, "path,age\na,70\nb\n"))


def test_line_breaks_in_quotes_and_control_characters(tmp_path: Path) -> None:
    cells = read_cells(written(tmp_path, 'path,note\na,"two\nlines"\nb,\x1b[31mred\n'))
    assert cells.table["note"].tolist() == ["two\nlines", "[31mred"]
    assert cells.lines.tolist() == [3, 4]


@pytest.mark.parametrize("text", ["=1+1", "+x", "-", "@here", "\tx", "'=x", "''-", "plain", "'plain", "a=b", "", "3-4"])
def test_no_cell_is_a_formula_and_all_are_read_back(text: str) -> None:
    cell = as_cell(text)
    assert isinstance(cell, str)
    assert cell[:1] not in ("=", "+", "-", "@", "\t") or not cell
    assert without_quote(cell) == text
    assert as_cell(-1.5) == -1.5
