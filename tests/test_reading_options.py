"""What a command is told about reading reaches the reader, and only changes what it must."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from scans.heads import LAS, write_volume
from voxlex.cli import main
from voxlex.config import ReadingOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.scan_source import ScanSource
from voxlex.data.sources import SourceOptions, find_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.workflows.audit import audit
from voxlex.workflows.prepare import prepare


def blocks(seed: int) -> np.ndarray:
    """Blocks of random brightness, `(24, 30, 20)`, which no other seed resembles."""
    return np.kron(np.random.default_rng(seed).integers(0, 900, (6, 6, 5)), np.ones((4, 5, 4))).astype(np.int16)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Seven files of three volumes each, all of them different."""
    folder = tmp_path / "several"
    folder.mkdir()
    for number in range(7):
        volumes = np.stack([blocks(10 * number + volume) for volume in range(3)], axis=-1)
        nibabel.save(nibabel.Nifti1Image(volumes, np.eye(4)), folder / f"sub-{number:02d}_bold.nii.gz")
    return folder


def test_one_of_several_volumes_is_prepared_like_a_file_of_its_own(several: Path, tmp_path: Path):
    for number in range(7):
        write_volume(tmp_path / "one" / f"sub-{number:02d}_bold.nii.gz", blocks(10 * number + 1))
    words = ["--size", "32", "--slices.count", "4"]
    assert main(["prepare", str(several), "--out", str(tmp_path / "a"), *words, "--volume", "1"]) == 0
    assert main(["prepare", str(tmp_path / "one"), "--out", str(tmp_path / "b"), *words]) == 0
    chosen, alone = PreparedDataset.open(tmp_path / "a"), PreparedDataset.open(tmp_path / "b")
    np.testing.assert_array_equal(chosen.images, alone.images)
    assert chosen.options["reading"] == {"volume": 1}
    assert "reading" not in alone.options


def test_the_message_says_how_to_choose_and_the_audit_knows_too(
    several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["prepare", str(several), "--out", str(tmp_path / "a")]) == 1
    assert "--volume 0 to --volume 2" in capsys.readouterr().err
    assert audit(str(several)).figures["unreadable"] == 7
    assert audit(str(several), reading=ReadingOptions(volume=2)).figures["unreadable"] == 0


def test_images_are_cached_by_what_was_read(several: Path):
    def state(reading: ReadingOptions) -> list[object]:
        return ScanSource.at(several, reading=reading).state(Frame(size=32))

    usual = state(ReadingOptions())
    others = [ReadingOptions(volume=1), ReadingOptions(volume=2), ReadingOptions(nan="background")]
    states = [usual, *map(state, others), state(ReadingOptions(max_gigabytes=1.0))]
    assert len({repr(found) for found in states}) == 5
    assert usual == ScanSource.at(several).state(Frame(size=32))
    assert "reading" not in repr(usual)


def test_what_is_given_wins_over_what_the_run_was_trained_with():
    of_run = ReadingOptions(volume=1, nan="background", spacing_mm=(1.0, 1.0, 2.0))
    assert ReadingOptions(volume=3).over(of_run) == ReadingOptions(
        volume=3, nan="background", spacing_mm=(1.0, 1.0, 2.0)
    )
    assert ReadingOptions().over(of_run) == of_run


@pytest.mark.parametrize("verb", ["prepare", "train", "check"])
@pytest.mark.parametrize("place", ["phantom", "prepared"])
def test_options_for_files_are_refused_where_there_are_none(
    verb: str, place: str, make_folder: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    make = make_folder
    if place == "prepared":
        place = str(tmp_path / "set")
        find_source(make(6)).prepare(tmp_path / "set", Frame(size=16))  # type: ignore[operator]
    assert main([verb, place, "--out", str(tmp_path / "out"), "--size", "16", "--volume", "0"]) == 1
    assert "expected scan files for --volume, got images that are prepared already" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_series_of_a_single_file_does_not_exist(several: Path):
    options = SourceOptions(reading=ReadingOptions(series=2))
    with pytest.raises(DataError, match="expected a folder of several DICOM series for series 2, got a single file"):
        prepare(str(several), Frame(size=32), out=several.parent / "out", options=options)


TINY = ["--size", "32", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32", "--steps", "2"]
TINY += ["--training.autoencoder.batch-size", "4", "--stage", "autoencoder", "--data.slices.count", "4"]


def test_a_run_remembers_how_it_reads(several: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert main(["train", str(several), "--out", str(run), "--volume", "1", *TINY]) == 0
    for name, words in (("own", []), ("given", ["--volume", "1"]), ("other", ["--volume", "0"])):
        assert main(["encode", str(run), str(several), "--out", str(tmp_path / f"{name}.parquet"), *words]) == 0
    own, given, other = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("own", "given", "other"))
    assert own["codes"].map(list).tolist() == given["codes"].map(list).tolist()
    assert own["codes"].map(list).tolist() != other["codes"].map(list).tolist()


def with_nan(folder: Path) -> dict[str, np.ndarray]:
    """Write seven volumes with NaN around a box, as SPM and FSL do, and return where it is."""
    places = {}
    for number in range(7):
        values = blocks(number).astype(np.float32)
        outside = np.ones(values.shape, bool)
        outside[number : number + 14, 4:26, 2:18] = False
        values[outside] = np.nan
        write_volume(folder / f"sub-{number:02d}_T1w.nii.gz", values, LAS)
        places[f"sub-{number:02d}_T1w"] = outside[::-1]
    return places


def test_scattered_nan_is_refused_and_the_option_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    values = blocks(0).astype(np.float32)
    values[3, 4, 5] = np.nan
    path = write_volume(tmp_path / "in.nii.gz", values)
    assert main(["prepare", str(path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "1 of 14400 voxels are not finite numbers; if they are the background, say so with --nan background" in said
    assert main(["prepare", str(path), "--out", str(tmp_path / "out"), "--nan", "background"]) == 0


@pytest.mark.parametrize("words", [[], ["--nan", "error"]])
def test_nan_around_a_brain_is_the_background_unless_it_is_to_be_an_error(tmp_path: Path, words: list[str]):
    with_nan(tmp_path / "in")
    status = main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32", *words])
    assert status == (1 if words else 0)


def test_nan_is_counted_and_comes_back_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    places = with_nan(tmp_path / "in")
    assert main(["train", str(tmp_path / "in"), "--out", str(tmp_path / "run"), *TINY]) == 0
    voxels = sum(int(place.sum()) for place in places.values())
    assert f"{voxels:,} voxels of 7 scans are not finite numbers" in capsys.readouterr().err
    words = [str(tmp_path / "run"), str(tmp_path / "in"), "--out"]
    assert main(["reconstruct", *words, str(tmp_path / "reconstructed")]) == 0
    assert main(["encode", *words, str(tmp_path / "codes.parquet")]) == 0
    codes = pd.read_parquet(tmp_path / "codes.parquet")
    assert codes.groupby("path")["nan_voxels"].first().tolist() == [int(place.sum()) for place in places.values()]
    assert codes["nan_mask"].notna().sum() == len(places)
    assert main(["decode", str(tmp_path / "run"), str(tmp_path / "codes.parquet"), "--out", str(tmp_path / "d")]) == 0
    for folder in ("reconstructed", "d"):
        for name, outside in places.items():
            values = nibabel.load(tmp_path / folder / f"{name}.nii.gz").get_fdata()
            np.testing.assert_array_equal(np.isnan(values), outside)


def test_what_files_do_not_say_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number in range(3):
        write_volume(tmp_path / "in" / f"sub-{number:02d}_T1w.nii.gz", blocks(number))
    assert main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32"]) == 0
    assert capsys.readouterr().err == ""
    assert not {"unknown", "nan_voxels", "nan_mask"} & set(PreparedDataset.open(tmp_path / "out").manifest.columns)
    image = nibabel.load(tmp_path / "in" / "sub-00_T1w.nii.gz")
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), None, image.header), tmp_path / "in" / "sub-00_T1w.nii.gz")
    assert main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "doubtful"), "--size", "32"]) == 0
    manifest = PreparedDataset.open(tmp_path / "doubtful").manifest
    assert manifest.groupby("subject")["unknown"].first().tolist() == ["orientation", "", ""]
    assert "1 of 3 scans do not say: orientation" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["img", "mhd"])
def test_a_change_of_the_voxels_beside_a_header_is_noticed(tmp_path: Path, kind: str):
    if kind == "img":
        nibabel.save(nibabel.Nifti1Pair(blocks(0), np.eye(4)), tmp_path / "a.img")
        place, voxels = tmp_path / "a.hdr", tmp_path / "a.img"
    else:
        place, voxels = tmp_path / "a.mhd", tmp_path / "b.raw"
        voxels.write_bytes(bytes(range(250)) * 4)
        fields = "NDims = 3\nDimSize = 10 10 10\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
        place.write_text(f"ObjectType = Image\n{fields}ElementDataFile = b.raw\n")
    before = ScanSource.at(place).state(Frame(size=32))
    voxels.write_bytes(voxels.read_bytes() + bytes(1))
    assert ScanSource.at(place).state(Frame(size=32)) != before


@pytest.fixture
def two_planes(tmp_path: Path) -> Path:
    """Seven volumes of thick axial slices, seven of thick sagittal ones, and one of cubic voxels."""
    folder = tmp_path / "planes"
    for number in range(7):
        write_volume(folder / f"sub-{number:02d}_axial.nii", blocks(number), np.diag([1.0, 1.0, 5.0, 1.0]))
        write_volume(folder / f"sub-{number:02d}_sagittal.nii", blocks(50 + number), np.diag([5.0, 1.0, 1.0, 1.0]))
    write_volume(folder / "sub-09_cubic.nii", blocks(99), np.eye(4))
    return folder


def test_volumes_of_another_plane_are_left_out_where_a_plane_is_asked_for(
    two_planes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--size", "32", "--slices.axis", "sagittal", "--slices.count", "2", "--plane", "sagittal"]
    assert main(["prepare", str(two_planes), "--out", str(tmp_path / "out"), *words]) == 0
    prepared = PreparedDataset.open(tmp_path / "out")
    assert set(prepared.manifest["path"].str.extract(r"_(\w+)\.nii")[0]) == {"sagittal", "cubic"}
    assert len(prepared.skipped) == 7
    assert "expected a volume acquired in the sagittal plane, got one in the axial plane" in capsys.readouterr().err


def test_coarse_slices_are_named(two_planes: Path, tmp_path: Path):
    prepared = prepare(str(two_planes), Frame(size=32), out=tmp_path / "out")
    (note,) = [note for note in prepared.notes if "acquired in" in note]
    assert note.startswith("sub-00_sagittal.nii, sub-01_sagittal.nii, sub-02_sagittal.nii and 4 more: ")
    assert note.endswith("acquired in the sagittal plane, so pixels of its axial slices are 5 mm long")
