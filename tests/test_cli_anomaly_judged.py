"""Maps of volumes are judged by masks on the scans' own grids; masks that do not fit are refused before any work."""

import json
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from scans.heads import OBLIQUE
from test_cli_inpaint import untrained_run
from voxlex.cli import main
from voxlex.data.phantoms.lesions import plant
from voxlex.data.phantoms.phantom import generate_volume
from voxlex.images.origin import Origin
from voxlex.scans.read_write import read_scan
from voxlex.workflows.lesion_files import LesionFiles

SLICES = Path(__file__).parent / "golden" / "masked"
SIDE = 32
CUBE = {"centre": None, "spacing_mm": 1.0}


def save(path: Path, values: np.ndarray, affine: np.ndarray = OBLIQUE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine healthy heads of three subjects, and two of others with a bright ball each and masks of it."""
    root = tmp_path_factory.mktemp("lesions")
    heads = torch.stack([generate_volume(number, size=SIDE, spacing_mm=6.5) for number in range(5)])
    planted = plant(heads[3:], kind="bright", size_mm=10, contrast=0.6, generator=torch.Generator().manual_seed(0))
    for number, gamma in product(range(3), (0.8, 1.0, 1.25)):
        own = (heads[number, 0].numpy() ** gamma * 1000).astype(np.int16)
        save(root / "healthy" / f"sub-{number}" / f"{gamma}.nii.gz", own)
    for number, (image, mask) in enumerate(zip(planted.images[:, 0], planted.masks[:, 0], strict=True)):
        save(root / "scans" / f"{number}.nii.gz", (image.numpy() * 1000).astype(np.int16))
        save(root / "masks" / f"{number}.nii.gz", mask.numpy().astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", "masked")


def anomaly(run: Path, place: Path, out: Path, *more: str) -> int:
    given = ["--healthy", str(place / "healthy"), "--method", "reconstruction", "--out", str(out)]
    return main(["anomaly", str(run), str(place / "scans"), *given, *more])


@pytest.mark.parametrize("kind", ["cubes", "slices"])
def test_a_planted_ball_is_where_the_map_is_high(kind: str, run: Path, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    assert anomaly(run if kind == "cubes" else SLICES, place, out, "--masks", str(place / "masks")) == 0
    figures = json.loads((out / "figures.json").read_text())
    assert figures["map"]["scans_with_lesions"] == 2
    assert figures["map"]["pixel_auroc"] > 0.65
    assert 0 < figures["map"]["pixel_ap_chance"] < 0.15
    for name in ("0", "1"):
        scan, written = (
            nibabel.load(folder / f"{name}{suffix}.nii.gz") for folder, suffix in ((place / "scans", ""), (out, ".map"))
        )
        np.testing.assert_array_equal(written.affine, scan.affine)
        values = np.asanyarray(written.dataobj)
        inside = np.asanyarray(nibabel.load(place / "masks" / f"{name}.nii.gz").dataobj) > 0
        assert values[inside].mean() > values[~inside].mean()
    table = pd.read_csv(out / "scores.csv").set_index("name")
    assert {"x_mm", "y_mm", "z_mm", "score", "quantile", "strange_share"} <= set(table.columns)


def test_a_mask_with_its_axes_in_another_order_is_the_same_mask(place: Path, tmp_path: Path) -> None:
    scan = nibabel.load(place / "scans" / "1.nii.gz")
    mask = nibabel.load(place / "masks" / "1.nii.gz")
    turned = mask.as_reoriented([[1, -1], [0, 1], [2, -1]])
    assert turned.shape == scan.shape
    save(tmp_path / "masks" / "1.nii.gz", np.asanyarray(turned.dataobj), turned.affine)
    files, origin = LesionFiles(tmp_path / "masks"), Origin.of_cube(read_scan(place / "scans" / "1.nii.gz"), **CUBE)
    found = files.of("1.nii.gz", origin, origin.grid.shape)
    expected = LesionFiles(place / "masks").of("1.nii.gz", origin, origin.grid.shape)
    assert expected.sum() > 100
    np.testing.assert_array_equal(found, expected)


def test_lesions_that_do_not_fit_are_refused_before_anything_is_written(
    run: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.zeros((SIDE,) * 3, np.uint8)
    save(tmp_path / "moved" / "1.nii.gz", mask + 1, OBLIQUE + np.diag([0.0, 0.0, 0.0, 0.0]) + 3 * np.eye(4, k=3))
    save(tmp_path / "small" / "0.nii.gz", mask[:9] + 1)
    save(tmp_path / "black" / "0.nii.gz", mask)
    save(tmp_path / "other" / "another.nii.gz", mask + 1)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.nii.gz").write_bytes(b"not a volume")
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "0.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    refused = [
        ("--masks", "none", "expected a folder of masks, got nothing there"),
        ("--masks", "moved", "1.nii.gz: expected a mask with the affine of the scan, got another one"),
        ("--masks", "small", "0.nii.gz: expected a mask with the size of the scan, (32, 32, 32), got"),
        ("--masks", "black", "expected one in at least one scan, got none"),
        ("--masks", "other", "expected one in at least one scan, got none"),
        ("--masks", "broken", "0.nii.gz"),
        ("--boxes", "boxes", "0.txt: expected a mask for a volume, got boxes"),
    ]
    for option, folder, said in refused:
        assert anomaly(run, place, tmp_path / "out", option, str(tmp_path / folder)) == 1
        assert said in capsys.readouterr().err.strip().splitlines()[-1]
        assert not (tmp_path / "out").exists()
