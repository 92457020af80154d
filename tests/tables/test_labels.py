"""What people write as labels is taken as it is meant, and what is doubtful is said."""

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from voxlex.tables.labels import note_without_label, notes_on_labels, unified
from voxlex.tables.manifest import index_source, join_table


def table(path: Path, /, **columns: list) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["label", "Label", "LABEL"])
def test_a_label_however_its_column_is_written(name: str, tmp_path: Path) -> None:
    file = table(
        tmp_path / "t.csv", path=["a.png", "b.png"], **{name: ["x", "y"], "Slice": [3, 4], "Sequence": ["T1"] * 2}
    )
    found = index_source(file).table
    assert found["label"].tolist() == ["x", "y"]
    assert found["slice"].tolist() == [3, 4]
    assert found["sequence"].tolist() == ["T1", "T1"]
    assert "Label" not in found


def test_the_name_itself_comes_first(tmp_path: Path) -> None:
    found = index_source(table(tmp_path / "t.csv", path=["a.png"], Label=["other"], label=["x"])).table
    assert found["label"].tolist() == ["x"]
    assert found["Label"].tolist() == ["other"]


def test_a_joined_label_however_its_column_is_written(tmp_path: Path) -> None:
    for name in ("sub-01.png", "sub-02.png"):
        (tmp_path / name).touch()
    file = table(tmp_path / "more.csv", Subject=["01", "02"], Label=["x", "y"])
    assert join_table(index_source(tmp_path), file).table["label"].tolist() == ["x", "y"]


def test_a_column_that_may_be_the_label_is_named(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", filename=["a.png", "b.png"], Class=["x", "y"])
    assert any("if the column 'Class' holds it, call it 'label'" in note for note in index_source(file).notes)
    assert note_without_label(["path", "age", "sex"]) == []
    file = table(tmp_path / "t.csv", filename=["a.png", "b.png"], Class=["x", "y"], label=["p", "q"])
    assert not any("'Class'" in note for note in index_source(file).notes)


def test_labels_that_are_the_same_are_written_alike() -> None:
    accents = [unicodedata.normalize(form, "épilepsie") for form in ("NFC", "NFD")]
    assert unified(pd.Series(accents)).nunique() == 1
    assert unified(pd.Series(["0", "1.0", "1", "0.0", "2.0"])).tolist() == ["0", "1", "1", "0", "2.0"]
    assert unified(pd.Series(["1.0", "1.5", "3.0"])).tolist() == ["1.0", "1.5", "3.0"]


def test_labels_that_look_alike_are_said_to_be_several(tmp_path: Path) -> None:
    assert notes_on_labels(["glioma", "no tumor", "", "glioma"]) == []
    (note,) = notes_on_labels(["Tumor", "tumor", "no_tumor", "notumor", "cyst"])
    assert "'no_tumor' and 'notumor'; 'Tumor' and 'tumor'. Write them alike" in note
    file = table(tmp_path / "t.csv", path=["a.png", "b.png"], label=["AD", "ad"])
    assert note.partition(":")[0] == "labels"
    assert any("'AD' and 'ad'" in said for said in index_source(file).notes)


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_in_paths_may_be_encoded_otherwise(written: str, on_disk: str, tmp_path: Path) -> None:
    name = unicodedata.normalize(on_disk, "métastase.png")
    (tmp_path / name).touch()
    index = index_source(table(tmp_path / "t.csv", path=[unicodedata.normalize(written, name)]))
    assert index.place(index.table["path"][0]).exists()
