"""The commands on volumes, as a stranger runs them."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.conftest import picture
from data.heads import LAS, OBLIQUE, PSR, head, write_volume
from voxlex.cli import main

pytestmark = pytest.mark.slow

TINY = ["--size", "32", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32"]
TINY += ["--training.autoencoder.batch-size", "4", "--stage", "autoencoder", "--steps", "2"]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of six subjects, as files hold them: each another way, and one picture beside them."""
    folder = tmp_path_factory.mktemp("volumes")
    affines = [np.eye(4), LAS, PSR, OBLIQUE, LAS, PSR]
    for number, affine in enumerate(affines):
        write_volume(folder / f"sub-{number:02d}" / "t1.nii.gz", head((24, 30, 20), seed=number), affine)
    Image.fromarray(picture(height=40, width=30)).save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def run(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on them for a few steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(volumes), "--out", str(out), "--data.slices.count", "8", *TINY]) == 0
    return out


def same_grid(one: Path, other: Path) -> bool:
    before, after = nibabel.load(one), nibabel.load(other)
    kinds = before.get_data_dtype() == after.get_data_dtype()
    return kinds and before.shape == after.shape and np.array_equal(before.affine, after.affine)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_run_trains_on_the_slices_asked_for(run: Path) -> None:
    images = json.loads((run / "metadata.json").read_text())["data"]["images"]
    assert sum(images.values()) == 6 * 8 + 1


def test_a_single_scan_is_reconstructed_in_its_own_place(run: Path, volumes: Path, tmp_path: Path) -> None:
    for number in range(6):
        scan, out = volumes / f"sub-{number:02d}" / "t1.nii.gz", tmp_path / str(number)
        assert main(["reconstruct", str(run), str(scan), "--out", str(out), "--inputs"]) == 0
        assert {file.name for file in out.iterdir()} == {"t1.nii.gz", "t1.input.nii.gz", "reconstructions.png"}
        assert same_grid(scan, out / "t1.nii.gz")
        before, seen = (nibabel.load(file).get_fdata() for file in (scan, out / "t1.input.nii.gz"))
        assert np.abs(before - seen).mean() < 25
        assert seen[before > 900].mean() > 700


def test_a_folder_of_pictures_and_volumes(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(run), str(volumes), "--out", str(tmp_path / "said")]) == 0
    assert "7 reconstructions" in capsys.readouterr().out
    names = {
        file.relative_to(tmp_path / "said").as_posix() for file in (tmp_path / "said").rglob("*") if file.is_file()
    }
    assert names == {"picture.png", "reconstructions.png", *(f"sub-{number:02d}/t1.nii.gz" for number in range(6))}
    assert size(tmp_path / "said" / "picture.png") == (32, 32)


def test_codes_of_volumes_decode_to_what_reconstruct_writes(run: Path, volumes: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.parquet"
    assert main(["encode", str(run), str(volumes), "--out", str(codes)]) == 0
    table = pd.read_parquet(codes)
    assert len(table) == 6 * 20 + 1
    assert table[table["path"] == "sub-03/t1.nii.gz"]["slice"].tolist() == list(range(20))
    assert main(["decode", str(run), str(codes), "--out", str(tmp_path / "decoded"), "--original-size"]) == 0
    assert main(["reconstruct", str(run), str(volumes), "--out", str(tmp_path / "said")]) == 0
    assert size(tmp_path / "decoded" / "picture.png") == (30, 40)
    for number in range(6):
        name = f"sub-{number:02d}/t1.nii.gz"
        assert same_grid(volumes / name, tmp_path / "decoded" / name)
        decoded, said = (nibabel.load(tmp_path / folder / name).get_fdata() for folder in ("decoded", "said"))
        np.testing.assert_array_equal(decoded, said)


def test_some_slices_of_a_volume_are_pictures(run: Path, volumes: Path, tmp_path: Path) -> None:
    prepare = ["prepare", str(volumes), "--out", str(tmp_path / "ready"), "--size", "32", "--slices.count", "2"]
    assert main(prepare) == 0
    assert main(["reconstruct", str(run), str(tmp_path / "ready"), "--out", str(tmp_path / "said")]) == 0
    assert len(list((tmp_path / "said").glob("sub-*/t1_slice_0*.png"))) == 12
    codes = tmp_path / "codes.parquet"
    assert main(["encode", str(run), str(tmp_path / "ready"), "--out", str(codes)]) == 0
    assert main(["decode", str(run), str(codes), "--out", str(tmp_path / "decoded"), "--original-size"]) == 0
    assert {size(file) for file in (tmp_path / "decoded").glob("sub-*/*.png")} == {(24, 30)}


def test_volumes_that_cannot_be_read_are_listed(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        write_volume(tmp_path / "in" / f"{number}.nii.gz", head((16, 16, 16), seed=number))
    whole = (volumes / "sub-00" / "t1.nii.gz").read_bytes()
    (tmp_path / "in" / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert main(["reconstruct", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "said")]) == 0
    said = capsys.readouterr()
    assert "skipped 1 of 13 images" in said.err
    assert "cut.nii.gz: the compressed file is damaged or cut short" in said.err
    assert "12 reconstructions" in said.out
    assert main(["reconstruct", str(run), str(tmp_path / "in" / "cut.nii.gz"), "--out", str(tmp_path / "none")]) == 1
    assert "cut.nii.gz: the compressed file is damaged or cut short" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
