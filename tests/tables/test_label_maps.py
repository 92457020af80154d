"""Label maps among scans are known by their names, and said to be there."""

from pathlib import Path

import pytest

from voxlex.tables.label_maps import label_map_named, notes_on_label_maps
from voxlex.tables.manifest import index_source


@pytest.mark.parametrize(
    "path",
    [
        "BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz",
        "sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_label-GM_probseg.nii.gz",
        "images_and_masks/p1-mask.png",
        "mri/aseg.mgz",
        "mri/aparc+aseg.mgz",
        "masks/07.png",
        "labelsTr/BRATS_001.nii.gz",
        "keras_png_slices_seg_train/seg_001_slice_0.nii.png",
        "mask.nii",
    ],
)
def test_label_maps(path: str) -> None:
    assert label_map_named(path)


@pytest.mark.parametrize(
    "path",
    [
        "sub-01_T1w.nii.gz",
        "masked/07_t1.png",
        "imagesTr/BRATS_001.nii.gz",
        "a_labelled_07.png",
        "unmask.png",
        "segal/1.png",
    ],
)
def test_scans(path: str) -> None:
    assert label_map_named(path) == ""


def test_they_are_named_where_there_are_scans_too(tmp_path: Path) -> None:
    paths = [f"p{number}/p{number}_{kind}.nii.gz" for number in range(3) for kind in ("t1", "seg")]
    assert notes_on_label_maps(paths[::2]) == notes_on_label_maps(paths[1::2]) == []
    (note,) = notes_on_label_maps(paths)
    assert note.startswith("3 of 6 scans are named like label maps or masks (seg), and")
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert note in index_source(tmp_path).notes
