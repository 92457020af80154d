import pandas as pd
import pytest

from voxlex.errors import DataError
from voxlex.tables.joining import join
from voxlex.tables.layouts import describe_paths
from voxlex.tables.reading import typed


def joined(paths: list[str], **columns: list[str]) -> pd.DataFrame:
    table = join(describe_paths(paths), pd.DataFrame(columns, dtype=object), where="t.csv").table
    return table.assign(**{name: typed(table[name]) for name in table.columns.drop(["path", "slice"])})


BIDS = ["sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_T1w.nii", "sub-03/anat/sub-03_T1w.nii"]


@pytest.mark.parametrize("ids", [["sub-02", "sub-01"], ["02", "01"]])
def test_participants_by_subject_with_or_without_prefix(ids: list[str]) -> None:
    table = joined(BIDS, participant_id=ids, age=["60", "50"], sex=["F", "M"])
    assert table["age"].tolist()[:2] == [50, 60]
    assert pd.isna(table["age"].iat[2])
    assert table["sex"].tolist() == ["M", "F", ""]
    assert "participant_id" not in table


def test_the_group_of_a_participant_is_a_cohort() -> None:
    table = joined(BIDS, participant_id=["sub-01", "sub-02"], group=["patient", "control"])
    assert table["cohort"].tolist() == ["patient", "control", ""]
    assert "group" not in table


@pytest.mark.parametrize("form", ["sub-01/anat/sub-01_T1w.nii", "./sub-01/anat/sub-01_T1w.nii", "sub-01_T1w.nii"])
def test_by_path_or_file_name(form: str) -> None:
    assert joined(BIDS, filename=[form], score=["3"])["score"].tolist()[0] == 3


def test_the_demographics_of_oasis_1_fit_its_sessions() -> None:
    paths = ["disc1/OAS1_0001_MR1/RAW/OAS1_0001_MR1_mpr-1_anon.img", "disc1/OAS1_0001_MR2/RAW/OAS1_0001_MR2_mpr-1.img"]
    table = joined(
        paths, **{"ID": ["OAS1_0001_MR1", "OAS1_0001_MR2"], "M/F": ["F", "F"], "Age": ["74", "75"], "CDR": ["0", ""]}
    )
    assert table["Age"].tolist() == [74, 75]
    assert table["M/F"].tolist() == ["F", "F"]
    assert table["CDR"].tolist()[0] == 0


def test_the_longitudinal_table_of_oasis_2_fits_by_session_although_subjects_repeat() -> None:
    paths = ["OAS2_0001_MR1/RAW/mpr-1.nifti.img", "OAS2_0001_MR2/RAW/mpr-1.nifti.img"]
    columns = {"Subject ID": ["OAS2_0001"] * 2, "MRI ID": ["OAS2_0001_MR1", "OAS2_0001_MR2"], "Age": ["87", "88"]}
    table = joined(paths, **columns)
    assert table["Age"].tolist() == [87, 88]


def test_the_search_result_of_adni_fits_by_image_and_its_dates_stay_out() -> None:
    paths = [
        "ADNI/002_S_0413/MPRAGE/2006-05-19_16_17_47.0/I13893",
        "ADNI/002_S_0413/MPRAGE/2007-06-01_11_00_00.0/I33000",
    ]
    columns = {
        "Image Data ID": ["I33000", "I13893"],
        "Subject": ["002_S_0413"] * 2,
        "Group": ["CN", "CN"],
        "Age": ["77", "76"],
        "Acq Date": ["6/01/2007", "5/19/2006"],
    }
    found = join(describe_paths(paths), pd.DataFrame(columns, dtype=object), where="t.csv")
    table, left_out = found.table, found.left_out
    assert table["Age"].tolist() == ["76", "77"]
    assert left_out == ["Acq Date"]
    assert "2006" not in table.drop(columns="path").to_csv()


@pytest.mark.parametrize(
    "days", [["6/01/2007", "5/19/2006"], ["2007-06-01", "2006-05-19"], ["01.06.2007", "19.05.2006"]]
)
def test_visits_are_told_apart_by_their_days(days: list[str]) -> None:
    paths = [f"ADNI/002_S_0413/MPRAGE/{day}/S1" for day in ("2006-05-19_16_17_47.0", "2007-06-01_11_00_00.0")]
    table = joined(
        paths, **{"Subject": ["002_S_0413"] * 2, "Visit": ["m12", "sc"], "Acq Date": days, "Age": ["77", "76"]}
    )
    assert table["Age"].tolist() == [76, 77]
    assert table["Visit"].tolist() == ["sc", "m12"]
    assert "Acq Date" not in table


def test_subject_and_visit_together() -> None:
    paths = [f"sub-1/ses-{visit}/anat/sub-1_ses-{visit}_T1w.nii" for visit in ("a", "b")]
    table = joined(paths, participant_id=["sub-1", "sub-1"], session_id=["ses-b", "ses-a"], weight=["81", "80"])
    assert table["weight"].tolist() == [80, 81]


def test_the_numbers_of_ixi() -> None:
    table = joined(["IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz"], IXI_ID=["12", "2"], AGE=["38.8", "35.8"])
    assert table["AGE"].tolist() == [35.8, 38.8]


def test_labels_and_splits_of_the_table_win() -> None:
    table = joined(["a/sub-01_x.png", "b/sub-02_x.png"], subject=["sub-01"], label=["tumour"], split=["train"])
    assert table["label"].tolist() == ["tumour", "b"]
    assert table["split"].tolist() == ["train", ""]


def test_a_table_of_other_people() -> None:
    with pytest.raises(
        DataError, match=r"t\.csv: expected a path.* of a scan in a row, got none in the columns participant_id, age"
    ):
        joined(BIDS, participant_id=["sub-77"], age=["1"])
    with pytest.raises(DataError, match="of a scan in a row, got none"):
        joined(BIDS, age=["1"])


def test_subjects_in_several_rows_that_differ() -> None:
    with pytest.raises(DataError, match="expected one row for each participant_id, got 1 with several different rows"):
        joined(BIDS, participant_id=["sub-01", "sub-01", "sub-02"], age=["50", "51", "60"])
    days = ["2006-05-19", "2006-05-20"]
    assert joined(BIDS, participant_id=["sub-01", "sub-01"], age=["50", "50"], day=days)["age"].iat[0] == 50
    assert joined(BIDS, participant_id=["sub-01", "sub-01"], age=["50", "50"])["age"].iat[0] == 50
