from pathlib import Path

import numpy as np
import pytest

from voxlex.cli import main
from voxlex.data.phantoms.label_maps import synthesise
from voxlex.errors import DataError
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan

AFFINE = np.diag([-1.5, 1.5, 2.0, 1.0])


def label_map() -> Scan:
    """White matter and thalamus on both sides, by FreeSurfer's numbers, and a brain stem."""
    labels = np.zeros((32, 32, 24), np.int16)
    labels[4:14, 4:28, 4:20], labels[18:28, 4:28, 4:20] = 41, 2
    labels[10:13, 12:18, 8:14], labels[19:22, 12:18, 8:14] = 49, 10
    labels[15:17, 10:16, 2:10] = 16
    return Scan(voxels=labels, affine=AFFINE)


def test_both_sides_look_alike_and_structures_do_not() -> None:
    labels = label_map().voxels
    voxels = synthesise(label_map(), seed=3).voxels.astype(float)
    inside = np.s_[6:9, 8:24, 6:18], np.s_[23:26, 8:24, 6:18]
    left, right = (voxels[part].mean() for part in inside)
    assert abs(left - right) < 0.15 * left
    assert voxels[labels == 0].mean() < 0.3 * left
    means = [voxels[labels == label].mean() for label in (2, 10, 16)]
    assert np.ptp(means) > 30


def test_the_seed_decides() -> None:
    first, again, other = (synthesise(label_map(), seed=seed).voxels for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_volumes_lie_on_the_grid_of_their_labels(tmp_path: Path) -> None:
    write_scan(tmp_path / "labels" / "one.nii.gz", label_map())
    out = tmp_path / "out"
    assert main(["phantom", "--labels", str(tmp_path / "labels"), "--out", str(out), "--seed", "5"]) == 0
    before, after = read_scan(tmp_path / "labels" / "one.nii.gz"), read_scan(out / "one.nii.gz")
    assert after.voxels.shape == before.voxels.shape
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


@pytest.mark.parametrize(
    "voxels",
    [np.random.default_rng(0).random((8, 8, 8)).astype(np.float32), np.zeros((8, 8, 8), np.int16)],
    ids=["grey values", "nothing"],
)
def test_what_is_no_label_map_is_refused(voxels: np.ndarray) -> None:
    with pytest.raises(DataError, match="a label map holds"):
        synthesise(Scan(voxels=voxels, affine=AFFINE), seed=0)


def test_a_folder_without_label_maps_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["phantom", "--labels", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1
    assert "empty" in capsys.readouterr().err
