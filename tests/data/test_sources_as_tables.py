"""A table is a source wherever a folder is, and what it says of its scans is kept."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from scans.pictures import picture
from voxlex.data.dataset import PreparedDataset, Skip
from voxlex.data.scan_source import ScanSource
from voxlex.data.sources import open_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.images.origin import ORIGIN_COLUMNS
from voxlex.tables.manifest import INDEX_COLUMNS, RESERVED, index_source, join_table

MakeFolder = Callable[..., Path]


def write(folder: Path, *names: str) -> Path:
    """Pictures under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(folder / name)
    return folder


def table(path: Path, /, **columns: list) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() + str(path).encode() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_table_beside_its_images(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(12)
    names = [f"{number:03d}.png" for number in range(12)]
    ages = [*range(60, 71), None]
    file = table(source / "all.csv", path=names, subject=[f"p{n // 2}" for n in range(12)], age=ages, sex=["F", ""] * 6)
    dataset = ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    assert dataset.name == "all"
    rows = dataset.manifest.set_index("path").loc[names]
    np.testing.assert_array_equal(rows["age"], np.array(ages, dtype=float))
    assert rows["sex"].tolist() == ["F", ""] * 6
    assert dataset.manifest.groupby("subject")["split"].nunique().eq(1).all()
    assert PreparedDataset.open(tmp_path / "out").manifest["age"].dtype == np.float64


def test_other_values_of_a_column_are_other_data(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(4)
    names = [f"{number:03d}.png" for number in range(4)]
    prints = []
    for age in (50, 50, 51):
        file = table(source / "t.csv", path=names, age=[age] * 4)
        prints.append(open_source(file, Frame(size=16), cache=tmp_path / "cache").fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_paths_may_be_absolute_and_results_stay_inside(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder(2, name="there/a")
    make_folder(1, name="there/b")
    paths = [str(tmp_path / "there/a/000.png"), "../there/a/001.png", str(tmp_path / "there" / "b" / "000.png")]
    (tmp_path / "here").mkdir()
    index = index_source(table(tmp_path / "here/t.csv", file=paths))
    assert index.root == tmp_path / "there"
    assert index.table["path"].tolist() == ["a/000.png", "a/001.png", "b/000.png"]


def test_what_the_layout_says_fills_what_the_table_does_not(tmp_path: Path) -> None:
    paths = ["sub-01/ses-1/anat/sub-01_ses-1_T1w.png", "x/case_007_slice_3.png"]
    file = table(tmp_path / "t.csv", path=paths, participant_id=["", "somebody"], label=["a", ""])
    found = index_source(file).table
    assert tuple(found.columns) == INDEX_COLUMNS
    assert found["subject"].tolist() == ["sub-01", "somebody"]
    assert found["group"].tolist() == ["sub-01", "somebody"]
    assert found["session"].tolist() == ["ses-1", ""]
    assert found["label"].tolist() == ["a", ""]
    assert found["slice"].tolist()[1] == 3


def test_a_users_split_is_kept(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(6)
    splits = ["Training", "train", "train", "val", "testing", "test"]
    file = table(source / "t.csv", path=[f"{n:03d}.png" for n in range(6)], split=splits)
    dataset = ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    assert [len(dataset.subset(split)) for split in ("train", "validation", "test")] == [3, 1, 2]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": ["a"]}, r"t\.csv: expected a column 'path', got picture"),
        ({"path": ["a.png", ""]}, r"t\.csv: line 3: expected a path"),
        ({"path": ["a.png", "x/../a.png"]}, r"t\.csv: line 3: expected a new scan, got one that an earlier line names"),
        ({"path": ["a", "b", "c"], "split": ["train", "", "oops"]}, r"got line 3 '', line 4 'oops'"),
        ({"path": ["a", "b"], "slice": ["1", "1.5"]}, r"line 3: expected a whole number as slice, got '1\.5'"),
        (
            {"path": ["a", "b"], "group": ["patient", "control"]},
            "'group' is reserved.*Rename it, for example to 'cohort'",
        ),
    ],
)
def test_tables_that_contradict_themselves(columns: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        index_source(table(tmp_path / "t.csv", **columns))


def test_a_few_missing_files_are_listed_and_many_are_an_error(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(20)
    names = [f"{number:03d}.png" for number in range(20)]
    dataset = ScanSource.at(table(source / "t.csv", path=[*names, "gone.png"])).prepare(
        tmp_path / "out", Frame(size=16)
    )
    assert dataset.skipped == [Skip("gone.png", "no such file")]
    many = table(source / "m.csv", path=[*names, *(f"gone{number}.png" for number in range(9))])
    with pytest.raises(DataError, match=r"got 9 unreadable of 29: gone0\.png: no such file"):
        ScanSource.at(many).prepare(tmp_path / "other", Frame(size=16))


def test_days_and_names_in_a_table_go_nowhere(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(6)
    names = [f"{number:03d}.png" for number in range(6)]
    columns = {"patient_name": ["Gernot Muster"] * 6, "visit": ["2006-05-19"] * 6, "session": ["20060519"] * 6}
    file = table(source / "t.csv", path=names, subject=["p1"] * 6, **columns)
    index = index_source(file)
    assert index.left_out == ("patient_name", "visit")
    assert set(index.table["session"]) == {"ses-01"}
    ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    for secret in (b"Gernot", b"2006"):
        assert secret not in everything_in(tmp_path / "out")


def test_the_days_of_visits_in_adni_folders_go_nowhere(tmp_path: Path) -> None:
    days = ["2006-05-19_16_17_47.0", "2007-06-01_11_00_00.0"]
    names = [f"ADNI/{n:03d}_S_0413/MPRAGE/{day}/S1389{n}/a_20060519161747_1.png" for n in range(8) for day in days]
    source = write(tmp_path / "in", *names)
    (source / "ADNI/000_S_0413/MPRAGE" / days[0] / "S13890/empty.png").touch()
    dataset = ScanSource.at(source).prepare(tmp_path / "out", Frame(size=16))
    assert set(dataset.manifest["session"]) == {"ses-01", "ses-02"}
    assert "ADNI/002_S_0413/MPRAGE/ses-02/S13892/a_ses-02_1.png" in set(dataset.manifest["path"])
    assert len(dataset.skipped) == 1
    for secret in (b"2006", b"2007", b"16_17"):
        assert secret not in everything_in(tmp_path / "out")


def test_dicom_in_adni_folders(tmp_path: Path) -> None:
    for subject in range(3):
        place = tmp_path / f"in/{subject:03d}_S_0413/MPRAGE/2006-05-19_16_17_47.0/S1/ADNI_MPRAGE_20060519161747_1.dcm"
        place.parent.mkdir(parents=True)
        shutil.copy(get_testdata_file("MR_small.dcm"), place)
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=16))
    assert dataset.manifest["subject"].tolist() == ["000_S_0413", "001_S_0413", "002_S_0413"]
    assert set(dataset.manifest["session"]) == {"ses-01"}
    assert b"2006" not in everything_in(tmp_path / "out")


def test_bids_participants_are_joined(tmp_path: Path) -> None:
    source = write(tmp_path / "in", *(f"sub-0{n}/anat/sub-0{n}_T1w.png" for n in range(1, 5)))
    participants = {
        "participant_id": ["sub-01", "sub-02", "sub-03"],
        "age": ["50", "n/a", "70"],
        "sex": ["F", "M", "F"],
    }
    participants |= {"group": ["control", "patient", "control"], "birth_date": ["1951-02-03", "", ""]}
    pd.DataFrame(participants).to_csv(source / "participants.tsv", sep="\t", index=False)
    index = index_source(source)
    assert index.left_out == ("birth_date",)
    assert index.table["sequence"].tolist() == ["T1w"] * 4
    assert index.table["cohort"].tolist() == ["control", "patient", "control", ""]
    assert index.table["group"].tolist() == index.table["subject"].tolist()
    np.testing.assert_array_equal(index.table["age"], [50, np.nan, 70, np.nan])
    first = open_source(source, Frame(size=16), cache=tmp_path / "cache")
    assert "cohort" in first.manifest
    (source / "participants.tsv").unlink()
    assert "cohort" not in open_source(source, Frame(size=16), cache=tmp_path / "cache").manifest


def test_participants_of_several_data_sets(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "ds1/sub-01/sub-01_T1w.png", "ds2/sub-02/sub-02_T1w.png")
    for name, subject, age in (("ds1", "sub-01", 30), ("ds2", "sub-02", 40)):
        pd.DataFrame({"participant_id": [subject], "age": [age]}).to_csv(
            source / name / "participants.tsv", sep="\t", index=False
        )
    assert index_source(source).table["age"].tolist() == [30, 40]


def test_participants_that_fit_nobody_are_noted_and_do_no_harm(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "sub-01/sub-01_T1w.png", "sub-02/sub-02_T1w.png")
    (source / "participants.tsv").write_text("participant_id\tage\nP01\t30\n")
    index = index_source(source)
    assert tuple(index.table.columns) == INDEX_COLUMNS
    assert "participants.tsv: expected a path, session or subject of a scan" in index.notes[0]


def test_the_split_of_oasis_slices_is_taken_and_others_only_if_asked(tmp_path: Path) -> None:
    names = ["train/case_001_slice_0.nii.png", "validate/case_402_slice_0.nii.png", "test/case_441_slice_0.nii.png"]
    oasis = write(tmp_path / "oasis", *(f"keras_png_slices_{name}" for name in names))
    assert set(index_source(oasis).table["split"]) == {"train", "validation", "test"}
    others = write(tmp_path / "others", "train/a/1.png", "test/a/2.png")
    assert "split" not in index_source(others).table
    assert index_source(others, split_folders=True).table["split"].tolist() == ["test", "train"]
    write(others, "stray.png")
    with pytest.raises(
        DataError, match=r"expected all scans in folders named train, validation or test, got stray\.png"
    ):
        index_source(others, split_folders=True)


def test_a_joined_table_may_bring_label_and_split(tmp_path: Path) -> None:
    index = index_source(write(tmp_path / "in", "sub-01_T1w.png", "sub-02_T1w.png"))
    file = table(tmp_path / "t.csv", subject=["sub-01", "sub-02"], label=["AD", "CN"], split=["train", "test"])
    found = join_table(index, file).table
    assert found["label"].tolist() == ["AD", "CN"]
    assert found["split"].tolist() == ["train", "test"]
    half = table(tmp_path / "half.csv", subject=["sub-01"], split=["train"])
    with pytest.raises(DataError, match="split: expected train, validation or test in every row"):
        join_table(index, half)


@pytest.mark.parametrize(
    "column", ["PatientID", "Patient ID", "SubjectID", "PTID", "case_id", "RID", "BraTS21ID", "MRN"]
)
def test_no_patient_crosses_the_split_whatever_the_column_is_called(
    column: str, make_folder: MakeFolder, tmp_path: Path
) -> None:
    source = make_folder(24)
    names = [f"{number:03d}.png" for number in range(24)]
    file = table(source / "t.csv", **{"path": names, column: [f"P{number // 3}" for number in range(24)]})
    dataset = ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    person = dataset.manifest["path"].map({name: number // 3 for number, name in enumerate(names)})
    assert dataset.manifest.groupby(person)["split"].nunique().eq(1).all()
    assert dataset.manifest["subject"].nunique() == 8
    assert not any("unknown for" in note for note in dataset.notes)


def test_names_tell_persons_apart_and_numbers_stand_for_them(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(12)
    people = [f"Muster{'abcdef'[number // 2]}, Hans" for number in range(12)]
    file = table(source / "t.csv", path=[f"{number:03d}.png" for number in range(12)], **{"Patient Name": people})
    index = index_source(file)
    assert index.table["subject"].nunique() == 6
    assert index.left_out == ("Patient Name",)
    assert "numbers stand for the values of the column 'Patient Name'" in index.notes[0]
    ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    assert b"Muster" not in everything_in(tmp_path / "out")


def test_what_is_unknown_is_said_and_kept_in_the_prepared_set(make_folder: MakeFolder, tmp_path: Path) -> None:
    dataset = ScanSource.at(make_folder(12)).prepare(tmp_path / "out", Frame(size=16))
    assert len(dataset.notes) == 1
    assert "subjects: unknown for 12 of 12 scans; scans of one person may lie in several splits" in dataset.notes[0]
    assert "The files are numbered one after another" in dataset.notes[0]
    assert PreparedDataset.open(tmp_path / "out").notes == dataset.notes
    some = table(
        tmp_path / "source" / "t.csv", path=[f"{n:03d}.png" for n in range(12)], subject=["a", "b", "c"] + [""] * 9
    )
    assert "unknown for 9 of 12 scans" in index_source(some).notes[0]


def test_a_column_that_seems_to_name_persons_is_pointed_out_and_can_be_chosen(tmp_path: Path) -> None:
    paths = [f"{number:03d}.png" for number in range(24)]
    file = table(tmp_path / "t.csv", path=paths, owner=[f"x{number // 3:03d}" for number in range(24)])
    index = index_source(file)
    assert set(index.table["subject"]) == {""}
    assert "the column 'owner' (8 values in 24 rows) may name persons, but is not used" in index.notes[0]
    assert index_source(file, subject="Owner").table["subject"].nunique() == 8
    with pytest.raises(DataError, match="--subject: expected one of the columns path, owner, got 'nobody'"):
        index_source(file, subject="nobody")
    with pytest.raises(DataError, match="--subject: expected a table with a column 'owner', got a folder"):
        index_source(tmp_path, subject="owner")


def test_of_two_columns_of_persons_the_coarser_is_taken_and_contradictions_are_an_error(tmp_path: Path) -> None:
    paths = [f"{number:03d}.png" for number in range(8)]
    coarse = table(tmp_path / "t.csv", path=paths, subject=[*"aabbccdd"], PatientID=[*"xxxxyyyy"])
    index = index_source(coarse)
    assert index.table["subject"].nunique() == 2
    assert "taken from the column 'PatientID', which has the fewest (2), and not from 'subject'" in index.notes[0]
    assert index_source(coarse, subject="subject").table["subject"].nunique() == 4
    file = table(tmp_path / "t.csv", path=paths, subject=[*"aabbccdd"], PatientID=[*"xyxyxyxy"])
    with pytest.raises(
        DataError, match=r"t\.csv: expected one column of persons, .*; name the right one with --subject"
    ):
        index_source(file)


def test_a_column_of_images_does_not_tear_apart_what_file_names_hold_together(tmp_path: Path) -> None:
    paths = [f"sub-0{number // 2}/sub-0{number // 2}_run-{number % 2}_T1w.png" for number in range(8)]
    index = index_source(table(tmp_path / "t.csv", path=paths, ID=[f"I{number}" for number in range(8)]))
    assert index.table["subject"].nunique() == 4
    assert "and not from the column 'ID', which has several values for one subject" in index.notes[0]


def test_dates_in_any_column_stay_behind(tmp_path: Path) -> None:
    columns = {
        "session": ["5/19/2006", "6/1/2007"],
        "label": ["2006-05-19", "2007-06-01"],
        "scan day": ["19.05.06"] * 2,
    }
    index = index_source(table(tmp_path / "t.csv", path=["a.png", "b.png"], subject=["p", "p"], **columns))
    assert index.table["session"].tolist() == ["ses-01", "ses-02"]
    assert set(index.table["label"]) == {""}
    assert index.left_out == ("label", "scan day")


def test_a_joined_table_says_who_the_subjects_are(tmp_path: Path) -> None:
    index = index_source(write(tmp_path / "in", "0.png", "1.png", "2.png", "3.png"))
    assert "unknown for 4 of 4" in index.notes[-1]
    joined = join_table(
        index, table(tmp_path / "t.csv", file=["0.png", "1.png", "2.png", "3.png"], PatientID=[*"aabb"])
    )
    assert joined.table["group"].tolist() == [*"aabb"]
    assert joined.notes == ()
    other = table(tmp_path / "o.csv", file=["0.png", "1.png", "2.png", "3.png"], owner=[*"xxxy"])
    assert join_table(index, other, subject="owner").table["subject"].tolist() == [*"xxxy"]


def test_subjects_are_joined_in_another_spelling(tmp_path: Path) -> None:
    index = index_source(write(tmp_path / "in", *(f"patient_{number:03d}/a.png" for number in range(1, 5))))
    ages = table(tmp_path / "t.csv", PatientID=[f"Patient {number}" for number in range(1, 5)], age=[50, 60, 70, 80])
    assert join_table(index, ages).table["age"].tolist() == [50, 60, 70, 80]


@pytest.mark.parametrize("names", [("Training/{}/{}.png", "Testing/{}/{}.png"), ("all/{}/{}.png", "test/{}/{}.png")])
def test_a_published_split_of_two_parts_is_completed(names: tuple[str, str], tmp_path: Path) -> None:
    files = [names[number % 4 == 0].format(("glioma", "notumor")[number % 2], number) for number in range(40)]
    source = index_source(write(tmp_path / "in", *files), split_folders=True)
    assert set(source.table["split"]) == {"train", "test"}
    dataset = ScanSource(source).prepare(tmp_path / "out", Frame(size=16))
    counts = dataset.manifest["split"].value_counts()
    assert counts["test"] == 10
    assert counts["validation"] == 3
    assert dataset.options["held_out"] == "3 validation"
    assert "3 validation images are held out of its training part, in whole groups" in dataset.notes[-1]


def test_splits_of_participants_are_used_if_they_name_one_for_everybody(tmp_path: Path) -> None:
    source = write(tmp_path / "in", *(f"sub-0{n}/sub-0{n}_T1w.png" for n in range(1, 5)))
    people = {"participant_id": [f"sub-0{n}" for n in range(1, 5)], "split": ["Training", "train", "val", "Testing"]}
    pd.DataFrame(people).to_csv(source / "participants.tsv", sep="\t", index=False)
    assert index_source(source).table["split"].tolist() == ["train", "train", "validation", "test"]
    pd.DataFrame(people | {"split": ["a", "b", "c", "d"]}).to_csv(source / "participants.tsv", sep="\t", index=False)
    index = index_source(source)
    assert "split" not in index.table
    assert "not used: the column 'split' of participants.tsv" in index.notes[0]


def test_columns_of_people_may_have_the_names_of_columns_of_images(make_folder: MakeFolder, tmp_path: Path) -> None:
    assert set(ORIGIN_COLUMNS) <= set(RESERVED)
    paths = [f"{number:03d}.png" for number in range(6)]
    file = table(make_folder(6) / "t.csv", path=paths, height=[170 + number for number in range(6)], view=["a"] * 6)
    dataset = ScanSource.at(file).prepare(tmp_path / "out", Frame(size=16))
    assert sorted(dataset.manifest["height_given"]) == [170, 171, 172, 173, 174, 175]
    assert set(dataset.manifest["view"]) == {"picture"}
    assert "the column 'height' is called 'height_given', because 'height' describes images" in dataset.notes


def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"t\.xlsx: expected a table .*, got a workbook; save the sheet as CSV UTF-8"):
        index_source(tmp_path / "t.xlsx")


def test_names_of_folders_that_results_keep_have_no_date(tmp_path: Path) -> None:
    assert index_source(write(tmp_path / "study_2019-03-04", "a.png", "b.png")).name == "study_day"
