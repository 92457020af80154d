"""The commands on volumes, as a stranger runs them."""

import gzip
import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scans.dicom_files import make_dicom_series, secrets_in
from scans.heads import LAS, OBLIQUE, PSR, head, write_volume
from scans.pictures import picture
from voxlex.assembly import build_autoencoder
from voxlex.cli import main
from voxlex.config import Config, DataConfig, ModelConfig
from voxlex.config.networks import ResidualNetworkConfig
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.models.weights import save_weights
from voxlex.run_folder import RunFolder

pytestmark = pytest.mark.slow

AXIAL_DICOM = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 50], [0, 0, 3, -20], [0, 0, 0, 1]])
SCANS = [*(f"sub-{number:02d}/t1.nii.gz" for number in range(6)), "series.nii.gz"]
TINY = ["--size", "32", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32"]
TINY += ["--training.autoencoder.batch-size", "4", "--stage", "autoencoder", "--steps", "2"]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of six subjects, as files hold them, each another way; a DICOM series and a picture beside them."""
    folder = tmp_path_factory.mktemp("volumes")
    affines = [np.eye(4), LAS, PSR, OBLIQUE, LAS, PSR]
    for number, affine in enumerate(affines):
        write_volume(folder / f"sub-{number:02d}" / "t1.nii.gz", head((24, 30, 20), seed=number), affine)
    make_dicom_series(folder / "series", head((24, 30, 20), seed=9), AXIAL_DICOM)
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
    assert sum(images.values()) == 7 * 8 + 1


def test_a_single_scan_is_reconstructed_in_its_own_place(run: Path, volumes: Path, tmp_path: Path) -> None:
    for number in range(6):
        scan, out = volumes / f"sub-{number:02d}" / "t1.nii.gz", tmp_path / str(number)
        assert main(["reconstruct", str(run), str(scan), "--out", str(out), "--inputs"]) == 0
        assert {file.name for file in out.glob("[!.]*")} == {"t1.nii.gz", "t1.input.nii.gz", "reconstructions.png"}
        assert same_grid(scan, out / "t1.nii.gz")
        before, seen = (nibabel.load(file).get_fdata() for file in (scan, out / "t1.input.nii.gz"))
        assert np.abs(before - seen).mean() < 25
        assert seen[before > 900].mean() > 700


def test_a_folder_of_pictures_and_volumes(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(run), str(volumes), "--out", str(tmp_path / "said")]) == 0
    assert "8 reconstructions" in capsys.readouterr().out
    names = {
        file.relative_to(tmp_path / "said").as_posix() for file in (tmp_path / "said").rglob("[!.]*") if file.is_file()
    }
    assert names == {"picture.png", "reconstructions.png", *SCANS}
    assert size(tmp_path / "said" / "picture.png") == (32, 32)


def test_codes_of_volumes_decode_to_what_reconstruct_writes(run: Path, volumes: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.parquet"
    assert main(["encode", str(run), str(volumes), "--out", str(codes)]) == 0
    table = pd.read_parquet(codes)
    assert len(table) == 7 * 20 + 1
    assert table[table["path"] == "sub-03/t1.nii.gz"]["slice"].tolist() == list(range(20))
    assert main(["decode", str(run), str(codes), "--out", str(tmp_path / "decoded"), "--original-size"]) == 0
    assert main(["reconstruct", str(run), str(volumes), "--out", str(tmp_path / "said")]) == 0
    assert size(tmp_path / "decoded" / "picture.png") == (30, 40)
    for name in SCANS:
        assert name == "series.nii.gz" or same_grid(volumes / name, tmp_path / "decoded" / name)
        decoded, said = (nibabel.load(tmp_path / folder / name).get_fdata() for folder in ("decoded", "said"))
        np.testing.assert_array_equal(decoded, said)


def test_some_slices_of_a_volume_are_pictures(run: Path, volumes: Path, tmp_path: Path) -> None:
    prepare = ["prepare", str(volumes), "--out", str(tmp_path / "ready"), "--size", "32", "--slices.count", "2"]
    assert main(prepare) == 0
    assert main(["reconstruct", str(run), str(tmp_path / "ready"), "--out", str(tmp_path / "said")]) == 0
    assert len(list((tmp_path / "said").glob("sub-*/t1_slice_0*.png"))) == 12
    assert len(list((tmp_path / "said").glob("series_slice_0*.png"))) == 2
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


def test_a_series_becomes_a_volume_where_it_was_scanned(run: Path, volumes: Path, tmp_path: Path) -> None:
    assert main(["reconstruct", str(run), str(volumes / "series"), "--out", str(tmp_path), "--inputs"]) == 0
    seen = nibabel.load(tmp_path / "series.input.nii.gz")
    assert (tmp_path / "series.nii.gz").exists()
    # Wherever the file's axes run: each voxel is, in mm, what the series has there.
    values, ways = head((24, 30, 20), seed=9), np.linalg.inv(AXIAL_DICOM) @ seen.affine
    places = np.stack(np.meshgrid(*map(np.arange, seen.shape), indexing="ij"), axis=-1) @ ways[:3, :3].T + ways[:3, 3]
    there = values[tuple(np.rint(np.moveaxis(places, -1, 0)).astype(int))]
    assert seen.shape == values.shape
    assert np.abs(places - np.rint(places)).max() < 1e-4
    assert np.abs(seen.get_fdata() - there).mean() < 25
    assert seen.get_fdata()[there > 900].mean() > 700


def telling(content: bytes | str) -> list[str]:
    """Return the secrets in some content that do not stand in any file by chance, as three letters may."""
    return [secret for secret in secrets_in(content) if len(secret) > 5]


def test_nothing_that_is_written_or_said_identifies_a_person(
    run: Path, volumes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source, prepared, codes = str(volumes / "series"), str(tmp_path / "prepared"), str(tmp_path / "codes.parquet")
    assert telling(next((volumes / "series").iterdir()).read_bytes())
    with caplog.at_level(logging.DEBUG), pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXLEX_CACHE", str(tmp_path / "cache"))
        for words in (
            ["prepare", source, "--out", prepared, "--size", "32"],
            ["data", "index", str(volumes), "--out", str(tmp_path / "manifest.csv")],
            ["reconstruct", str(run), source, "--out", str(tmp_path / "said"), "--inputs"],
            ["encode", str(run), source, "--out", codes],
            ["decode", str(run), codes, "--out", str(tmp_path / "decoded"), "--original-size"],
            ["evaluate", str(run), source, "--split", "all", "--json", str(tmp_path / "figures.json")],
            ["info", str(run)],
        ):
            assert main(words) == 0, words
    written = [file for folder in (run, tmp_path) for file in folder.rglob("*") if file.is_file()]
    assert {"manifest.csv", "images.npy", "report.html", "codes.parquet", "series.nii.gz"} <= {f.name for f in written}
    for file in written:
        content = file.read_bytes()
        assert telling(gzip.decompress(content) if file.suffix == ".gz" else content) == [], file.name
    tables = [pd.read_parquet(file).to_csv() for file in written if file.suffix == ".parquet"]
    captured = capfd.readouterr()
    assert telling(captured.out + captured.err + caplog.text + "".join(tables)) == []


@pytest.fixture(scope="module")
def run_in_3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained vocabulary of volumes: 16³ voxels of 2 mm."""
    network = ResidualNetworkConfig(downsampling=4, width=8, stem_width=8)
    model = ModelConfig(spatial_dims=3, network=network, quantizer=VectorQuantizerConfig(num_embeddings=16))
    folder = RunFolder.create(
        tmp_path_factory.mktemp("runs") / "run", Config(data=DataConfig(size=16, spacing_mm=2.0), model=model)
    )
    save_weights(folder.autoencoder_file, build_autoencoder(model), about={})
    return folder.path


def test_whole_volumes_in_3d(run_in_3d: Path, volumes: Path, tmp_path: Path) -> None:
    for number, side in ((0, 16), (3, 24)):  # 30 mm, as many as are learned from; and 38 mm
        scan, out = volumes / f"sub-{number:02d}" / "t1.nii.gz", tmp_path / str(number)
        codes = tmp_path / f"{number}.parquet"
        assert main(["reconstruct", str(run_in_3d), str(scan), "--out", str(out), "--inputs"]) == 0
        assert same_grid(scan, out / "t1.nii.gz")
        before, seen = (nibabel.load(file).get_fdata() for file in (scan, out / "t1.input.nii.gz"))
        assert np.corrcoef(before.ravel(), seen.ravel())[0, 1] > 0.9
        assert seen[before > 900].mean() > seen[(before > 0) & (before < 900)].mean() + 80
        assert main(["encode", str(run_in_3d), str(scan), "--out", str(codes)]) == 0
        assert pd.read_parquet(codes)["shape"].map(list).tolist() == [[1, *[side // 4] * 3]]
        assert main(["decode", str(run_in_3d), str(codes), "--out", str(out / "decoded")]) == 0
        said, decoded = (nibabel.load(file).get_fdata() for file in (out / "t1.nii.gz", out / "decoded/t1.nii.gz"))
        np.testing.assert_allclose(decoded, said, atol=1)
