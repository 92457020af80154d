import pytest

from voxlex.tables.naming import is_class_folder, slice_of, subject_of


@pytest.mark.parametrize(
    ("path", "subject", "slice_number"),
    [
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w_slice-07.png", "sub-01", 7),
        ("Sub-07/SUB-07_T1w.png", "Sub-07", None),
        ("sub-ABC9/slice-11.png", "sub-ABC9", 11),
        ("disc1/OAS1_0001_MR1/RAW/OAS1_0001_MR1_mpr-1_anon_sag_66.png", "OAS1_0001", None),
        ("OAS1_0001_MR2.png", "OAS1_0001", None),
        ("OAS30001_MR_d0129/anat.png", "OAS30001", None),
        ("keras_png_slices_train/case_001_slice_0.nii.png", "case_001", 0),
        ("ADNI/002_S_0413/MPRAGE/ADNI_002_S_0413_MR_slice_112.jpg", "002_S_0413", 112),
        ("glioma/Tr-glTr_0000.jpg", "", None),
        ("notumor/Tr-no_0010.jpg", "", None),
        ("subject.png", "", None),
        ("case_7.png", "", None),
        ("slices/a.png", "", None),
    ],
)
def test_names(path: str, subject: str, slice_number: int | None):
    assert subject_of(path) == subject
    assert slice_of(path) == slice_number


@pytest.mark.parametrize("name", ["glioma", "no tumor", "AD", "contest", "0"])
def test_class_folders(name: str):
    assert is_class_folder(name)


@pytest.mark.parametrize("name", ["", "sub-01", "OAS1_0001_MR1", "train", "Testing", "keras_png_slices_validate"])
def test_folders_that_are_no_classes(name: str):
    assert not is_class_folder(name)
