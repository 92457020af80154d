from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from voxlex.errors import DataError
from voxlex.tables.naming import is_table
from voxlex.tables.reading import identifies, named_splits, read_table, typed


def column(*values: str, name: str = "c") -> pd.Series:
    return pd.Series(values, name=name, dtype=object)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_the_same_table_in_every_format(suffix: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["a", "b", "c"], "age": [70, None, 8.5], "site": ["007", "n/a", None]})
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    read = read_table(path)
    assert read.to_dict("list") == {
        "path": ["a", "b", "c"],
        "age": [*(("70",) if suffix == "parquet" else ("70.0",)), "", "8.5"],
        "site": ["007", "", ""],
    }


def test_a_spreadsheet_with_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffpath;größe\na.png;12\n".encode())
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"path": ["a.png"], "größe": ["12"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected at least one row"),
        ("path\n", "expected at least one row"),
        ("path\nM\x81ller\n", "line 2: cannot be read as UTF-8; save it as CSV UTF-8"),
        ('path,note\na,1\nb,"open\nc,2\n', "line 4: cannot be read as a table: .*; is a quote closed"),
        ("PK\x03\x04 and so on", "expected text, got a zip archive, such as an Excel workbook"),
        ("path\na.png\n\x00\x01\n", "line 3: expected text, got a byte of value 0"),
        ("path,age,age\na,1,2\n", r"got 'age' twice"),
        ("path,age\na,1,2,3\nb,1\n", "line 2: expected 2 cells as in the header, got 4"),
    ],
)
def test_tables_that_are_none(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "t.csv")


def test_a_missing_table_and_another_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv: no such file"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.xls").touch()
    (tmp_path / "t.txt").touch()
    with pytest.raises(DataError, match=r"t\.txt: expected a table .*, got '\.txt'; rename it to \.csv"):
        read_table(tmp_path / "t.txt")
    with pytest.raises(DataError, match=r"t\.xls: expected a table \(\.csv, \.tsv, \.parquet\)"):
        read_table(tmp_path / "t.xls")  # with what to do: "got a workbook; save the sheet as CSV UTF-8"
    (tmp_path / "folder.csv").mkdir()
    assert not is_table(tmp_path / "folder.csv")
    assert is_table("somewhere.TSV")


def test_numbers_with_gaps_stay_numbers() -> None:
    age = typed(column("70", "", "81.5"))
    assert age.dtype == np.float64
    np.testing.assert_array_equal(age, [70, np.nan, 81.5])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(("1", "2"), "int64"), (("7", "7"), "int64"), (("1e3", "2.5"), "float64")],
)
def test_whole_and_other_numbers(values: tuple[str, ...], dtype: str) -> None:
    assert typed(column(*values)).dtype == dtype


@pytest.mark.parametrize(
    "values", [("007", "012"), ("F", "M"), ("3", "three"), ("", ""), ("inf", "1"), ("1,5", "2"), ("True", "False")]
)
def test_everything_else_stays_text(values: tuple[str, ...]) -> None:
    assert typed(column(*values)).tolist() == list(values)


@pytest.mark.parametrize(
    "values",
    [
        ("2006-05-19",),
        ("", "19/05/2006"),
        ("5/19/2006 16:17",),
        ("unknown", "2006-05-19T16:17:47"),
        ("19-May-2006",),
        ("20060519", "19510203"),
        ("20060519161747",),
        ("5/19/06", "6/1/07"),
        ("May 19, 2006",),
        ("19 März 2006",),
        ("scan of 2006-05-19",),
        ("MUELLER^HANS", "x"),
        ("Mueller, Hans", "Schmidt, Eva"),
    ],
)
def test_a_date_identifies(values: tuple[str, ...]) -> None:
    assert identifies(column(*values))


@pytest.mark.parametrize("name", ["DOB", "birth_date", "YearOfBirth", "PatientName", "first name", "E-mail", "Name"])
def test_a_column_that_names_people_identifies_whatever_it_holds(name: str) -> None:
    assert identifies(column("1951", name=name))


@pytest.mark.parametrize(
    "values",
    [
        ("left, frontal", "right, frontal"),
        ("1.5.2", "3.0.1"),
        ("70", "81"),
        ("",),
        ("1.5-2.5",),
        ("20061399",),
        ("20060519", "12345678"),
        ("T1w 2006",),
        ("2006",),
    ],
)
def test_other_columns_do_not(values: tuple[str, ...]) -> None:
    assert not identifies(column(*values, name="adobe"))


def test_rows_without_a_split_are_for_training_if_only_what_is_held_out_is_named() -> None:
    assert named_splits(column("", "test", ""), where="t.csv").tolist() == ["train", "test", "train"]
    assert named_splits(column("val", "", "test"), where="t.csv").tolist() == ["validation", "train", "test"]


def test_splits_by_their_usual_names() -> None:
    words = column("train", "Training", "val", "valid", "validation", "dev", "test", "Testing")
    expected = ["train", "train", *["validation"] * 4, "test", "test"]
    assert named_splits(words, where="t.csv").tolist() == expected
    assert named_splits(column("", ""), where="t.csv") is None


def test_rows_without_a_split_are_listed() -> None:
    words = column("train", "", "holdout", "test", *["x"] * 5)
    with pytest.raises(DataError, match=r"in every row, got line 3 '', line 4 'holdout', .*line 8 'x' and 2 more"):
        named_splits(words, where="t.csv")


def test_a_parquet_table_with_text_stored_as_bytes(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.png"], "label": ["größer".encode()]}).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet")["label"]) == ["größer"]


def test_a_parquet_table_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["aaaa.png", "bbbb.png"]}).to_parquet(tmp_path / "t.parquet", compression=None)
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content.replace(b"aaaa.png", b"\xff\xfe\xfd\xfc.png"))
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read: not Parquet, damaged or cut short"):
        read_table(tmp_path / "t.parquet")
