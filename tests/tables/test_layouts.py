import pytest

from voxlex.tables.layouts import describe_paths, folder_splits, published_splits


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
