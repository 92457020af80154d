import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from voxlex.data.dataset import COLUMNS, PreparedDataset, Skip
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.images.frame import Frame


@pytest.fixture
def dataset(make_folder: Callable[..., Path], tmp_path: Path) -> PreparedDataset:
    return ScanSource.at(make_folder(20)).prepare(tmp_path / "prepared", Frame(size=16))


def test_tensor_is_the_stored_image_in_the_unit_interval(dataset: PreparedDataset):
    images = dataset.tensor()
    assert images.shape == (20, 1, 16, 16)
    assert images.dtype == torch.float32
    np.testing.assert_array_equal(images.numpy(), dataset.images.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("rows", [[3, 1], np.array([3, 1]), torch.tensor([3, 1]), slice(3, 0, -2)])
def test_rows_can_be_given_in_any_usual_way(dataset: PreparedDataset, rows: object):
    torch.testing.assert_close(dataset.tensor(rows), dataset.tensor()[[3, 1]], rtol=0, atol=0)


def test_changing_a_tensor_does_not_change_the_data(dataset: PreparedDataset):
    before = dataset.tensor([0]).clone()
    dataset.tensor([0]).zero_()
    torch.testing.assert_close(dataset.tensor([0]), before)


def test_splits_partition_the_rows(dataset: PreparedDataset):
    parts = [dataset.subset(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [16, 2, 2]
    torch.testing.assert_close(torch.cat([part.tensor() for part in parts]), dataset.tensor())
    for part, split in zip(parts, ("train", "validation", "test"), strict=True):
        assert set(part.manifest["split"]) == {split}
        assert part.manifest.index.tolist() == list(range(len(part)))
        assert np.shares_memory(part.images, dataset.images)
    assert dataset.subset("all") is dataset


def test_an_unknown_split_and_an_empty_one(make_folder: Callable[..., Path], tmp_path: Path, dataset: PreparedDataset):
    with pytest.raises(ValueError, match="expected one of train, validation, test, all, got 'dev'"):
        dataset.subset("dev")
    two = ScanSource.at(make_folder(2, name="two")).prepare(tmp_path / "p2", Frame(size=16))
    assert len(two.subset("test")) == 2
    with pytest.raises(DataError, match="two: expected train images, got none"):
        two.subset("train")


def test_written_and_opened_again_it_is_the_same(dataset: PreparedDataset, tmp_path: Path):
    dataset.write(tmp_path / "copy")
    copy = PreparedDataset.open(tmp_path / "copy")
    np.testing.assert_array_equal(copy.images, dataset.images)
    assert copy.manifest.equals(dataset.manifest)
    assert tuple(copy.manifest.columns) == COLUMNS
    assert (copy.name, copy.fingerprint, copy.options) == (dataset.name, dataset.fingerprint, dataset.options)
    assert isinstance(copy.images, np.memmap)


def test_what_was_skipped_is_told_again(dataset: PreparedDataset, tmp_path: Path):
    skipped = [Skip("a.png", "no such file"), Skip("b.png", "constant image (every pixel is 9)", constant=True)]
    replace(dataset, skipped=skipped).write(tmp_path / "copy")
    assert PreparedDataset.open(tmp_path / "copy").skipped == skipped
    record = json.loads((tmp_path / "copy" / "prepared.json").read_text())
    del record["constant"]  # as version 0.1 wrote it
    (tmp_path / "copy" / "prepared.json").write_text(json.dumps(record))
    assert PreparedDataset.open(tmp_path / "copy").skipped == skipped


def test_an_existing_folder_is_not_overwritten(dataset: PreparedDataset, tmp_path: Path):
    with pytest.raises(DataError, match="prepared: exists already"):
        dataset.write(tmp_path / "prepared")


def test_a_foreign_folder(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected a prepared data set, got a folder without prepared\.json"):
        PreparedDataset.open(tmp_path)


def _cut_images(folder: Path) -> None:
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[:-100])


def _pickle_images(folder: Path) -> None:
    np.save(folder / "images.npy", np.array([{"not": "an image"}] * 20), allow_pickle=True)


def _lose_images(folder: Path) -> None:
    images = np.load(folder / "images.npy")
    np.save(folder / "images.npy", images[:-1])


def _spoil(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(b"{ spoilt")


@pytest.mark.parametrize(
    "damage",
    [
        _cut_images,
        _pickle_images,
        _lose_images,
        _spoil("manifest.parquet"),
        _spoil("prepared.json"),
        lambda folder: (folder / "images.npy").unlink(),
        lambda folder: (folder / "prepared.json").write_text("{}"),
    ],
    ids=["cut", "pickle", "image lost", "manifest", "json", "no images", "empty json"],
)
def test_damage_is_one_clear_error(dataset: PreparedDataset, tmp_path: Path, damage: Callable[[Path], None]):
    damage(tmp_path / "prepared")
    with pytest.raises(DataError, match="prepared: damaged prepared data set: "):
        PreparedDataset.open(tmp_path / "prepared")


def test_a_newer_format(dataset: PreparedDataset, tmp_path: Path):
    record = json.loads((tmp_path / "prepared" / "prepared.json").read_text())
    (tmp_path / "prepared" / "prepared.json").write_text(json.dumps({**record, "format_version": 99}))
    with pytest.raises(DataError, match=r"prepared by a newer version of voxlex \(format 99\)"):
        PreparedDataset.open(tmp_path / "prepared")


def _crafted(folder: Path, *, column: str = "", value: object = None, **record: object) -> None:
    """Change a set as a stranger can who writes the hashes, too."""
    if column:
        table = pd.read_parquet(folder / "manifest.parquet")
        table[column] = [value] * len(table)
        table.to_parquet(folder / "manifest.parquet", index=False)
    content = json.loads((folder / "prepared.json").read_text()) | record
    content.pop("sums", None)
    (folder / "prepared.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("path", "../../secret.png"),
        ("path", "/etc/passwd"),
        ("path", ""),
        ("path", None),
        ("path", 7),
        ("label", 7),
        ("split", "holdout"),
        ("height", 10**12),
        ("height", 0),
        ("width", "wide"),
        ("intensity_low", float("nan")),
        ("intensity_high", float("inf")),
        ("view", "axial"),
    ],
)
def test_tables_of_strangers_are_refused(dataset: PreparedDataset, tmp_path: Path, column: str, value: object):
    _crafted(tmp_path / "prepared", column=column, value=value)
    with pytest.raises(DataError, match="prepared: damaged prepared data set: "):
        PreparedDataset.open(tmp_path / "prepared")


def test_volumes_of_strangers_are_not_too_large(dataset: PreparedDataset, tmp_path: Path):
    _crafted(tmp_path / "prepared", column="stored_shape", value=[10**5, 10**5, 10**5])
    assert len(PreparedDataset.open(tmp_path / "prepared")) == len(dataset)  # pictures have none
    volumes = pd.read_parquet(tmp_path / "prepared" / "manifest.parquet").assign(view="axial")
    volumes.to_parquet(tmp_path / "prepared" / "manifest.parquet", index=False)
    with pytest.raises(DataError, match="expected volumes of at most"):
        PreparedDataset.open(tmp_path / "prepared")


@pytest.mark.parametrize(
    "record",
    [
        {"name": 5},
        {"fingerprint": None},
        {"options": []},
        {"skipped": [["a"]]},
        {"skipped": {"a": "b"}},
        {"constant": [1]},
        {"notes": "x"},
        {"format_version": "2"},
        {"format_version": True, "name": None},
    ],
)
def test_descriptions_of_strangers_are_refused(dataset: PreparedDataset, tmp_path: Path, record: dict[str, object]):
    _crafted(tmp_path / "prepared", **record)
    with pytest.raises(DataError, match="prepared: damaged prepared data set: expected "):
        PreparedDataset.open(tmp_path / "prepared")


@pytest.mark.parametrize("text", ["[]", "5", "[" * 10**5, '{"format_version": 2}'])
def test_descriptions_that_are_none(dataset: PreparedDataset, tmp_path: Path, text: str):
    (tmp_path / "prepared" / "prepared.json").write_text(text)
    with pytest.raises(DataError, match="prepared: damaged prepared data set: "):
        PreparedDataset.open(tmp_path / "prepared")


@pytest.mark.parametrize("claim", [(10**9, 1, 24, 24), (0, 1, 24, 24), (20, 3, 24, 24), (20, 24, 24), (2**62, 1, 9, 9)])
def test_images_that_are_not_there_are_not_believed(dataset: PreparedDataset, tmp_path: Path, claim: tuple[int, ...]):
    with (tmp_path / "prepared" / "images.npy").open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": claim})
    with pytest.raises(DataError, match=r"prepared: damaged prepared data set: .*expected "):
        PreparedDataset.open(tmp_path / "prepared")


@pytest.mark.parametrize("file", ["images.npy", "manifest.parquet"])
def test_pipes_in_a_prepared_set_do_not_hang(dataset: PreparedDataset, tmp_path: Path, file: str):
    (tmp_path / "prepared" / file).unlink()
    os.mkfifo(tmp_path / "prepared" / file)
    with pytest.raises(DataError, match="prepared: damaged prepared data set: "):
        PreparedDataset.open(tmp_path / "prepared")
