import pytest

from voxlex.tables.layouts import (
    anonymous,
    describe_paths,
    folder_splits,
    published_splits,
    read_layout,
    undated_paths,
)


def described(*paths: str) -> dict[str, list]:
    return describe_paths(paths).drop(columns="path").to_dict("list")


def test_bids() -> None:
    table = described(
        "sub-01/ses-pre/anat/sub-01_ses-pre_acq-hi_T1w.nii.gz",
        "sub-01/ses-pre/dwi/sub-01_ses-pre_dwi.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
    )
    assert table["subject"] == ["sub-01", "sub-01", "sub-02"]
    assert table["session"] == ["ses-pre", "ses-pre", ""]
    assert table["sequence"] == ["T1w", "dwi", "bold"]
    assert set(table["label"]) == {""}  # anat, dwi and func are no classes


def test_oasis_1_sessions() -> None:
    processed = "disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.img"
    table = described(processed, "disc2/OAS1_0044_MR2/RAW/OAS1_0044_MR2_mpr-1_anon.img")
    assert table["subject"] == ["OAS1_0001", "OAS1_0044"]
    assert table["session"] == ["MR1", "MR2"]
    assert table["sequence"] == ["mpr_n4_anon_111_t88_gfc", "mpr-1_anon"]
    assert set(table["label"]) == {""}  # discs are no classes


def test_oasis_2_and_3_and_neurite() -> None:
    table = described(
        "OAS2_0001_MR2/RAW/mpr-1.nifti.img",
        "OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_T1w.nii.gz",
        "OASIS_OAS1_0457_MR1/aligned_norm.nii.gz",
    )
    assert table["subject"] == ["OAS2_0001", "sub-OAS30001", "OAS1_0457"]
    assert table["session"] == ["MR2", "ses-d0129", "MR1"]
    assert table["sequence"] == ["mpr-1", "T1w", "aligned_norm"]


def test_oasis_as_png_slices_and_their_label_maps_are_of_the_same_people() -> None:
    table = described(
        "keras_png_slices_train/case_001_slice_12.nii.png", "keras_png_seg_train/seg_001_slice_12.nii.png"
    )
    assert table["subject"] == ["case_001", "case_001"]
    assert table["sequence"] == ["", "seg"]
    assert table["slice"] == [12, 12]


def test_ixi() -> None:
    table = described("IXI002-Guys-0828-T1.nii.gz", "T2/IXI012-HH-1211-T2.nii.gz")
    assert table["subject"] == ["IXI002", "IXI012"]
    assert table["sequence"] == ["T1", "T2"]


def test_adni_visits_are_counted_not_dated() -> None:
    table = described(
        "ADNI/002_S_0413/MPRAGE/2007-06-01_11_00_00.0/S33000",
        "ADNI/002_S_0413/MPRAGE/2006-05-19_16_17_47.0/S13893",
        "ADNI/002_S_0413/Axial_T2/2006-05-19_16_40_00.0/S13894",
        "ADNI/011_S_0021/MPRAGE/2005-10-10_10_00_00.0/S9000",
    )
    assert table["session"] == ["ses-02", "ses-01", "ses-01", "ses-01"]
    assert table["sequence"] == ["MPRAGE", "MPRAGE", "Axial_T2", "MPRAGE"]
    assert table["subject"][0] == "002_S_0413"
    assert "200" not in str({name: table[name] for name in ("subject", "session", "sequence", "label")})


def test_bids_sessions_named_by_dates_are_counted_too() -> None:
    paths = [f"sub-1/ses-{day}/anat/sub-1_ses-{day}_T1w.nii" for day in ("20190304", "20180101")]
    assert described(*paths)["session"] == ["ses-02", "ses-01"]


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (("AD/sub-01/T1.nii", "CN/sub-02/T1.nii"), ["AD", "CN"]),
        (("glioma/sub-01_T1w.png", "none/sub-02_T1w.png"), ["glioma", "none"]),
        (("disc1/OAS1_0001_MR1/a.img", "disc2/OAS1_0002_MR1/a.img"), ["", ""]),
        (("derivatives/a/sub-01/x.nii", "derivatives/b/sub-01/x.nii"), ["", ""]),
        (("sub-01/anat/x.nii", "sub-01/func/y.nii"), ["", ""]),
    ],
)
def test_classes_above_people(paths: tuple[str, ...], labels: list[str]) -> None:
    assert described(*paths)["label"] == labels


def test_a_published_split_is_believed_where_all_scans_have_one() -> None:
    paths = [
        "keras_png_slices_data/keras_png_slices_train/case_001_slice_0.nii.png",
        "keras_png_slices_data/keras_png_slices_validate/case_402_slice_0.nii.png",
        "keras_png_slices_data/keras_png_seg_test/seg_441_slice_0.nii.png",
    ]
    assert published_splits(paths) == ["train", "validation", "test"]
    assert published_splits([*paths, "other.png"]) is None
    assert published_splits(["train/a.png", "test/b.png"]) is None


def test_split_folders() -> None:
    paths = ["Training/glioma/1.jpg", "data_val/2.jpg", "Testing/a/test/3.jpg", "4.jpg"]
    assert folder_splits(paths) == ["train", "validation", "test", ""]


def test_folders_of_persons_are_subjects_and_that_is_said() -> None:
    paths = [f"AD/patient_{person:02d}/{number}.png" for person in range(12) for number in range(3)]
    layout = read_layout([*paths, "CN/patient_90/0.png", "CN/case_001_slice_0.png"])
    assert layout.table["subject"].nunique() == 14
    assert layout.table["subject"][0] == "patient_00"
    assert layout.guessed == [True] * 37 + [False]
    assert set(layout.table["label"]) == {"AD", "CN"}
    assert "13 folders (patient_00, patient_01, patient_02 and 10 more) count as one person each" in layout.notes[0]


def test_persons_in_file_names_are_subjects_and_that_is_said() -> None:
    layout = read_layout([f"P{person:02d}_{number:03d}.png" for person in range(4) for number in range(3)])
    assert layout.table["subject"].tolist()[::3] == ["P00", "P01", "P02", "P03"]
    assert "guessed from the beginnings of file names, 4 persons in 12 files" in layout.notes[0]


def test_classes_of_known_names_are_not_worth_a_word_and_others_are() -> None:
    assert read_layout(["glioma/1.png", "notumor/2.png"]).notes == []
    assert "the 2 folders north, south … count as classes" in read_layout(["north/1.png", "south/2.png"]).notes[0]


@pytest.mark.parametrize("day", ["2019-03-04", "04.03.2019", "20190304", "4-Mar-2019", "scan_2019_03_04_12_30"])
def test_days_become_numbers_wherever_they_stand(day: str) -> None:
    later = day.replace("2019", "2020")
    paths = [f"patient_{person}/{when}/t1_{when}.png" for person in range(3) for when in (later, day)]
    table = describe_paths(paths)
    assert table["session"].tolist() == ["ses-02", "ses-01"] * 3
    assert set(table["label"]) == {""}
    names = undated_paths(table)
    assert len(set(names)) == 6
    assert "2019" not in str(names)
    assert "2020" not in str(names)
    by_day = read_layout([f"{when}/{number}.png" for when in (day, later) for number in range(3)])
    assert (
        by_day.table["subject"].tolist() == ["day-001"] * 3 + ["day-002"] * 3 or by_day.table["subject"].nunique() == 2
    )
    assert "2019" not in str(by_day.table.drop(columns="path").to_dict()) + str(by_day.notes)
    assert "no label is made of dates" in by_day.notes[0]


def test_names_of_persons_become_numbers() -> None:
    paths = [f"{name}/{number}.png" for name in ("MUELLER^HANS", "SCHMIDT^EVA") for number in range(3)]
    layout = read_layout(paths)
    assert set(layout.table["subject"]) == {"person-001", "person-002"}
    names = undated_paths(layout.table)
    assert [name.split("/")[0] for name in names] == layout.table["subject"].tolist()
    flat = read_layout([path.replace("/", "_") for path in [*paths, "MAIER^UWE/1.png", "MAIER^UWE/2.png"]])
    assert flat.table["subject"].nunique() == 3
    for said in (layout.notes, flat.notes, flat.table["subject"].tolist(), undated_paths(flat.table)):
        assert "MUELLER" not in str(said)


def test_a_date_in_the_name_of_a_person_s_folder_is_the_visit() -> None:
    table = describe_paths([f"XY_{number:02d}_{day}/a.png" for number in range(4) for day in ("19960909", "19950101")])
    assert table["subject"].tolist() == [f"XY_{number:02d}" for number in range(4) for _ in range(2)]
    assert table["session"].tolist() == ["ses-02", "ses-01"] * 4


def test_texts_without_days_and_names() -> None:
    assert anonymous("study_2019-03-04 of MUELLER^HANS, 12 slices") == "study_day of person, 12 slices"
    assert anonymous("slice_20191399 of 2019") == "slice_20191399 of 2019"
