"""Volumes through preparation and back: what a person gets again of what they gave."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scans.heads import LAS, OBLIQUE, PSR, RAS, head, write_volume
from scans.pictures import picture
from voxlex.config.options import Axis, SliceOptions
from voxlex.data.dataset import PreparedDataset, Skip
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.images.fit import fit_scan
from voxlex.images.frame import Frame
from voxlex.images.origin import Origin
from voxlex.images.restore import restore_scan
from voxlex.scans.read_write import write_scan

AFFINES = {"RAS": RAS, "LAS": LAS, "PSR": PSR, "oblique": OBLIQUE}
THICK = np.diag([1.0, 1.0, 5.0, 1.0])


def said_back(dataset: PreparedDataset, path: Path) -> nibabel.Nifti1Image:
    """Write the scan that images of one volume make up, as after a model that changes nothing."""
    origin = Origin.from_facts(dataset.manifest.iloc[0].to_dict())
    write_scan(path, restore_scan(list(dataset.tensor()[:, 0].numpy()), origin))
    return nibabel.load(path)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("stored", AFFINES)
def test_a_volume_comes_back_in_its_own_place(tmp_path: Path, axis: Axis, stored: str):
    source = write_volume(tmp_path / "in" / "a.nii.gz", head(), AFFINES[stored])
    dataset = ScanSource.at(tmp_path / "in").prepare(
        tmp_path / "out", Frame(size=48, slices=SliceOptions(axis=axis), whole=True)
    )
    before, after = nibabel.load(source), said_back(dataset, tmp_path / "back.nii.gz")
    assert after.shape == before.shape
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.get_data_dtype() == before.get_data_dtype() == np.int16
    high = dataset.manifest["intensity_high"].iloc[0]
    difference = np.abs(after.get_fdata() - before.get_fdata().clip(max=high))
    if stored != "oblique" and axis != "coronal":  # then the slice is as large as the canvas, and nothing is resampled
        assert difference.max() <= 1
    assert difference.mean() < 25
    # Where the volume was turned round, the mark would be elsewhere.
    mark = before.get_fdata() > 900
    assert after.get_fdata()[mark].mean() > 850
    assert after.get_fdata()[before.get_fdata() == 0].mean() < 30


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("stored", AFFINES)
def test_images_are_in_radiological_display_however_the_file_lies(tmp_path: Path, axis: Axis, stored: str):
    write_volume(tmp_path / "in" / "a.nii.gz", head((48, 48, 48)), AFFINES[stored])
    dataset = ScanSource.at(tmp_path / "in").prepare(
        tmp_path / "out", Frame(size=48, slices=SliceOptions(axis=axis), whole=True)
    )
    marked = dataset.tensor()[:, 0] > 0.9
    index, rows, columns = (float(place.float().mean()) for place in marked.nonzero(as_tuple=True))
    # Front or top is up, the subject's right or front is on the left; slices are counted to the right, front and top.
    assert index > 26
    assert rows < 22
    assert columns < 22


def test_one_row_a_slice(tmp_path: Path):
    for number in range(4):
        write_volume(tmp_path / "in" / f"sub-{number:02d}" / "t1.nii.gz", head(seed=number))
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=32, slices=SliceOptions(count=5)))
    table = dataset.manifest
    assert len(table) == 20
    assert table.groupby("path")["slice"].apply(list).map(len).eq(5).all()
    assert table["subject"].nunique() == 4
    assert table.groupby("subject")["split"].nunique().eq(1).all()
    assert set(table["view"]) == {"axial"}
    assert table.groupby("path")["intensity_high"].nunique().eq(1).all()
    assert dataset.options["slices"]["count"] == 5
    assert PreparedDataset.open(tmp_path / "out").fingerprint == dataset.fingerprint


def test_pictures_and_volumes_side_by_side(tmp_path: Path):
    write_volume(tmp_path / "in" / "volume.nii", head())
    Image.fromarray(picture(height=30, width=20)).save(tmp_path / "in" / "scan_slice_7.png")
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=32, slices=SliceOptions(count=3)))
    rows = dataset.manifest.set_index("path")
    assert rows.loc["scan_slice_7.png", ["view", "slice", "height", "width"]].tolist() == ["picture", 7, 30, 20]
    assert rows.loc["volume.nii", "view"].tolist() == ["axial"] * 3
    assert Origin.from_facts(dict(rows.loc["scan_slice_7.png"])).stored is None


def test_what_a_table_says_of_a_volume_is_said_of_each_slice(tmp_path: Path):
    for number in range(3):
        write_volume(tmp_path / f"{number}.nii", head(seed=number))
    pd.DataFrame({"path": [f"{n}.nii" for n in range(3)], "age": [71, 64, 80], "scanner": ["a", "b", "a"]}).to_csv(
        tmp_path / "scans.csv", index=False
    )
    dataset = ScanSource.at(tmp_path / "scans.csv").prepare(
        tmp_path / "out", Frame(size=32, slices=SliceOptions(count=4))
    )
    known = dataset.manifest.groupby("path")[["age", "scanner"]].agg(["nunique", "first"])
    assert known["age"].to_numpy().tolist() == [[1, 71], [1, 64], [1, 80]]
    assert known["scanner"].to_numpy().tolist() == [[1, "a"], [1, "b"], [1, "a"]]


def test_empty_slices_are_left_out_and_constant_volumes_listed(tmp_path: Path):
    gap = head()
    gap[:, :, 14:18] = 0
    write_volume(tmp_path / "in" / "gap.nii", gap)
    for number in range(12):
        write_volume(tmp_path / "in" / f"x{number}.nii", np.zeros((20, 20, 20), np.int16))
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=32))
    chosen = list(dataset.manifest["slice"])
    assert chosen == [index for index in range(chosen[0], chosen[-1] + 1) if not 14 <= index < 18]
    assert [skip.path for skip in dataset.skipped] == [f"x{number}.nii" for number in sorted(range(12), key=str)]
    assert all(skip.constant for skip in dataset.skipped)


def test_slices_too_thin_to_see_name_the_axis(tmp_path: Path):
    write_volume(tmp_path / "one.nii", head((40, 40, 3)))
    with pytest.raises(DataError, match="expected coronal slices of at least 8×8 pixels, got 3×40; try another axis"):
        ScanSource.at(tmp_path / "one.nii").prepare(tmp_path / "out", Frame(slices=SliceOptions(axis="coronal")))


def test_thick_slices_keep_their_proportions(tmp_path: Path):
    volume = head((60, 60, 60))[:, :, ::5]
    write_volume(tmp_path / "thick.nii", volume, THICK)
    dataset = ScanSource.at(tmp_path / "thick.nii").prepare(
        tmp_path / "out", Frame(size=60, slices=SliceOptions(axis="coronal", count=1))
    )
    seen = dataset.tensor()[0, 0] > 0.2
    assert abs(int(seen.any(0).sum()) - int(seen.any(1).sum())) <= 4
    assert dataset.manifest.loc[0, ["height", "width"]].tolist() == [12, 60]


def test_whole_volumes_in_3d(tmp_path: Path):
    for number in range(3):
        write_volume(tmp_path / "in" / f"{number}.nii.gz", head(seed=number), LAS)
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=48, spacing_mm=1.0))
    assert dataset.images.shape == (3, 1, 48, 48, 48)
    assert dataset.spatial_dims == 3
    assert set(dataset.manifest["view"]) == {"cube"}
    row = dataset.manifest.iloc[0]
    path = tmp_path / "back.nii.gz"
    write_scan(path, restore_scan([dataset.tensor([0])[0, 0].numpy()], Origin.from_facts(row.to_dict())))
    before, after = nibabel.load(tmp_path / "in" / row["path"]), nibabel.load(path)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert np.abs(after.get_fdata() - before.get_fdata()).max() <= 1 + before.get_fdata().max() - row["intensity_high"]


def test_pictures_are_of_no_use_in_3d(tmp_path: Path):
    for number in range(20):
        write_volume(tmp_path / "in" / f"{number}.nii", head((16, 16, 16), seed=number))
    Image.fromarray(picture()).save(tmp_path / "in" / "a.png")
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=16, spacing_mm=1.0))
    assert len(dataset) == 20
    assert dataset.skipped == [Skip("a.png", "expected a volume, got a picture")]


@pytest.mark.parametrize(("axis", "name"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
@pytest.mark.parametrize("affine", [RAS, PSR])
def test_a_single_slice_is_seen_in_its_own_plane_and_comes_back(
    tmp_path: Path, axis: int, name: str, affine: np.ndarray
):
    volume = head((40, 48, 32))
    slab = np.take(volume, [20], axis=axis)
    path = write_volume(tmp_path / "slab.nii.gz", slab, affine)
    fitted = fit_scan(path, Frame(size=48, slices=SliceOptions(axis="coronal"), whole=True))
    assert fitted.origin.view == name
    assert (len(fitted.images), fitted.slices) == (1, [0])
    whole = fit_scan(
        write_volume(tmp_path / "whole.nii.gz", volume, affine),
        Frame(size=48, slices=SliceOptions(axis=name), whole=True),
    )
    shown = np.corrcoef(fitted.images[0].ravel(), whole.images[20].ravel())[0, 1]
    assert shown > 0.99  # the two differ in their range of grey values alone
    restored = restore_scan([image / 65535 for image in fitted.images], fitted.origin)
    assert restored.voxels.shape == slab.shape
    assert np.corrcoef(restored.voxels.ravel(), slab.ravel())[0, 1] > 0.9
