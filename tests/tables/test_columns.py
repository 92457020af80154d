"""Columns of people's tables are known by the letters of their names."""

import pandas as pd
import pytest

from voxlex.tables.columns import (
    PATHS,
    SESSIONS,
    Contradiction,
    choose_subject,
    find,
    is_personal,
    is_subject,
    split_column,
    subject_columns,
)
from voxlex.tables.naming import split_named

SUBJECTS = """
subject, Subject, subject_id, SubjectID, Subject ID, Subject Label, subjectkey, src_subject_id, subj, Subj_No,
participant, participant_id, participant.id, patient, PatientID, Patient ID, PATIENT-ID, patient number,
pat_id, PATNO, PTID, RID, sub, case, case_id, CaseNumber, Case Submitter ID, BraTS21ID, BraTS_2020_subject_ID,
TCGA, TCGA ID, ID, id, Anonymized ID, Study ID, GUID, NDAR GUID, eid, UKB ID, OASIS ID, OASISID, IXI_ID,
person, person_id, individual, USUBJID, record_id, pid, bcr_patient_barcode, DICOM PatientID, Probanden-Nr.,
Patientennummer, numéro patient, ID_patient, MRN, Patient Name, name, hospital number
"""

OTHERS = """
age, sex, patient_age, patient_sex, case_control, casestatus, label, sublabel, subclass, subject_type, group,
site, path, image, image_id, session_id, scan_id, visit, MRI ID, Image Data ID, series_id, SeriesInstanceUID,
StudyInstanceUID, split, filename, p, r, diagnosis, study
"""


def words(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", " ").split(",")]


def table(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object)


@pytest.mark.parametrize("name", words(SUBJECTS))
def test_columns_of_persons(name: str) -> None:
    assert is_subject(name)


@pytest.mark.parametrize("name", words(OTHERS))
def test_columns_of_other_things(name: str) -> None:
    assert not is_subject(name)


def test_names_and_record_numbers_identify_a_person() -> None:
    assert [name for name in words(SUBJECTS) if is_personal(name)] == ["MRN", "Patient Name", "name", "hospital number"]


def test_paths_and_sessions_by_their_letters() -> None:
    assert find(["image", "File Path", "age"], PATHS) == "File Path"
    assert find(["Age", "IMAGE"], PATHS) == "IMAGE"
    assert find(["VISCODE", "Session ID"], SESSIONS) == "Session ID"
    assert find(["age"], PATHS) is None


@pytest.mark.parametrize(
    ("name", "values", "names_persons"),
    [
        ("patient", ["0", "1", "1", "0"], False),  # who is ill
        ("case", ["case", "control", "case"], False),
        ("Study ID", ["ABC", "ABC", "ABC"], False),  # one study
        ("ID", ["1", "2", "3", "4"], False),  # the number of the row
        ("ID", ["17", "17", "4", "4"], True),
        ("patient", ["a", "a", "b"], True),
        ("subject", ["a", "a", "a"], True),  # one head
        ("patient_id", ["", "", ""], False),
        ("name", ["x1", "x2", "x3"], False),  # of the files
        ("name", ["Ann", "Ann", "Eve"], True),
    ],
)
def test_the_values_decide_where_the_name_leaves_a_doubt(name: str, values: list[str], names_persons: bool) -> None:
    assert subject_columns(table(**{name: values})) == [name] * names_persons


def test_of_several_columns_the_one_with_the_fewest_persons_is_taken_and_that_is_said() -> None:
    rows = table(subject=["a1", "a2", "b1", "b2"], PatientID=["a", "a", "b", "b"])
    name, note = choose_subject(rows, ["subject", "PatientID"])
    assert name == "PatientID"
    assert "taken from the column 'PatientID', which has the fewest (2), and not from 'subject'" in note
    assert choose_subject(table(ID=["1", "1", "2"], ptid=["x", "x", "y"]), ["ID", "ptid"])[1] == ""
    assert choose_subject(rows, []) == (None, "")


def test_columns_that_contradict_each_other() -> None:
    rows = table(subject=["a", "a", "b", "b"], PatientID=["x", "y", "x", "y"])
    with pytest.raises(
        Contradiction, match="expected one column of persons, got 'subject' and 'PatientID', which contradict"
    ):
        choose_subject(rows, ["subject", "PatientID"])


def test_columns_of_splits() -> None:
    assert split_column(table(Partition=["train", "Testing"]), split_named) == "Partition"
    assert split_column(table(dataset=["train", "test", ""]), split_named) == "dataset"
    assert split_column(table(set=["a", "b"]), split_named) is None
    assert split_column(table(set=["train", "train"]), split_named) is None  # then nothing is held out
    assert split_column(table(split=["oops"]), split_named) == "split"  # whose values are then refused by name
