"""The phantom as files: slices, and whole heads."""

from pathlib import Path

import nibabel
import pytest

from voxlex.cli import main
from voxlex.scans.read_write import read_scan

FEW = ["--phantom.subjects", "2", "--phantom.slices", "3"]


def test_slices_are_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", "--out", str(tmp_path / "slices"), "--size", "32", *FEW]) == 0
    assert "6 slices in" in capsys.readouterr().out
    assert read_scan(tmp_path / "slices" / "sub-002" / "slice-03.png").voxels.shape == (32, 32)


def test_heads_are_nifti(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "heads"
    assert main(["phantom", "--volumes", "--out", str(out), "--size", "16", "--spacing-mm", "6", *FEW]) == 0
    assert "2 volumes in" in capsys.readouterr().out
    assert nibabel.load(out / "sub-002.nii.gz").header.get_zooms() == (6, 6, 6)
    assert main(["phantom", "--volumes", "--out", str(out), *FEW]) == 1
    assert "expected an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "-3"], "size: expected at least 8 pixels"),
        (["--size", "0"], "size: expected at least 8 pixels"),
        (["--volumes", "--spacing-mm", "-1"], "spacing_mm: expected more than 0 mm"),
        (["--volumes", "--spacing-mm", "inf"], "spacing_mm: expected more than 0 mm"),
    ],
)
def test_sizes_that_cannot_be(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantom", "--out", str(tmp_path / "p"), *FEW, *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
