import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duplicates.brains import brains
from scans.pictures import picture
from voxlex.data.building import Spool
from voxlex.data.dataset import Skip
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.images.frame import Frame


def test_each_row_is_its_picture(make_folder: Callable[..., Path], tmp_path: Path):
    source = make_folder(12)
    dataset = ScanSource.at(source).prepare(tmp_path / "out", Frame(size=24))
    for row, path in enumerate(dataset.manifest["path"]):
        np.testing.assert_array_equal(dataset.images[row, 0], picture(int(Path(path).stem)))
    assert dataset.name == "source"
    assert dataset.skipped == []
    assert dataset.size == 24


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_subjects_stay_together(tmp_path: Path):
    for case in range(1, 8):
        for number in range(10 if case == 1 else 5):
            write(tmp_path / "in" / f"case_{case:03d}_slice_{number}.png", picture(100 * case + number))
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=16))
    assert dataset.manifest.groupby("subject")["split"].nunique().eq(1).all()
    assert set(dataset.manifest["split"]) == {"train", "validation", "test"}


def test_near_duplicates_stay_together_and_so_do_their_subjects(tmp_path: Path):
    slices = brains(12, slices=3)
    for number, (low, middle, high) in enumerate(slices):
        write(tmp_path / "in" / f"{number:02d}.png", middle)
        write(tmp_path / "in" / "copies" / f"{number:02d}.jpg", middle[:, ::-1])
        write(tmp_path / "in" / f"case_{number:03d}_slice_0.png", low)
        write(tmp_path / "in" / f"case_{number:03d}_slice_1.png", high)
    write(tmp_path / "in" / "case_003_slice_2.png", slices[7, 2] // 2)
    table = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=48)).manifest.set_index("path")
    for number in range(12):
        assert {table.at[f"copies/{number:02d}.jpg", "group"], table.at[f"{number:02d}.png", "group"]} == {
            f"{number:02d}.png"
        }
    assert set(table["group"][table["subject"].isin(["case_003", "case_007"])]) == {"case_003"}
    assert table["group"].nunique() == 12 + 11
    assert table.groupby("group")["split"].nunique().eq(1).all()
    assert set(table["split"]) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ({"a1.png": "train", "a2.png": "test"}, r"1 pair of near-duplicates \(a1\.png in train and a2\.png in test\)"),
        ({"b1.png": "train", "b2.png": "validation"}, r"1 subject \(b in train and validation\)"),
    ],
    ids=["duplicates", "subject"],
)
def test_a_split_that_leaks_is_refused_unless_it_is_wanted(tmp_path: Path, rows: dict[str, str], complaint: str):
    for name, seed in {"a1": 1, "a2": 1, "b1": 2, "b2": 3, "c1": 4, "d1": 5}.items():
        write(tmp_path / "in" / f"{name}.png", picture(seed))
    splits = {"a1": "train", "a2": "train", "b1": "train", "b2": "train", "c1": "test", "d1": "validation"}
    splits = {f"{name}.png": split for name, split in splits.items()} | rows
    lines = [f"{path},{'b' if path[0] == 'b' else ''},{split}" for path, split in splits.items()]
    table = tmp_path / "in" / "table.csv"
    table.write_text("\n".join(["path,subject,split", *lines]))
    with pytest.raises(DataError, match=rf"^table: its split leaks: {complaint}\. 'voxlex data audit' shows all"):
        ScanSource.at(table).prepare(tmp_path / "out", Frame(size=24))
    assert not (tmp_path / "out").exists()
    dataset = ScanSource.at(table, allow_leak=True).prepare(tmp_path / "out", Frame(size=24))
    assert dict(zip(dataset.manifest["path"], dataset.manifest["split"], strict=True)) == splits
    assert dataset.options["leaking_subjects"] + dataset.options["leaking_pairs"] == 1


def test_a_split_that_does_not_leak_is_taken_as_it_is(make_folder: Callable[..., Path], tmp_path: Path):
    source = make_folder(6)
    splits = ["test", "train", "validation", "train", "train", "test"]
    rows = [f"{number:03d}.png,{split}" for number, split in enumerate(splits)]
    (source / "t.csv").write_text("\n".join(["path,split", *rows]))
    dataset = ScanSource.at(source / "t.csv").prepare(tmp_path / "out", Frame(size=24))
    table = dataset.manifest.sort_values("path")
    assert list(table["split"]) == splits
    assert dataset.options["split"] == "given"


def test_labels(make_folder: Callable[..., Path], tmp_path: Path):
    make_folder(3, pattern="glioma/{}.png")
    dataset = ScanSource.at(make_folder(3, pattern="healthy/{}.png")).prepare(tmp_path / "out", Frame(size=16))
    assert dataset.labels == ["glioma", "healthy"]


def test_mixed_depths_share_one_scale(tmp_path: Path):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(height=30, width=20)).save(tmp_path / "in" / "eight.png")
    deep = picture(1).astype(np.uint16) * 8
    Image.fromarray(deep).save(tmp_path / "in" / "sixteen.png")
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=30))
    assert dataset.images.dtype == np.uint16
    rows = dataset.manifest.set_index("path")
    assert rows.loc["eight.png", ["height", "width", "bit_depth"]].tolist() == [30, 20, 8]
    assert rows.loc["sixteen.png", "bit_depth"] == 16
    assert rows.loc["sixteen.png", "intensity_high"] == deep.max()
    eight = dataset.tensor([list(dataset.manifest["path"]).index("eight.png")])[0, 0, :, 5:25]
    np.testing.assert_array_equal((eight * 255).round().numpy(), picture(height=30, width=20))


def test_a_few_bad_images_are_skipped_and_listed(make_folder: Callable[..., Path], tmp_path: Path):
    source = make_folder(30)
    (source / "empty.jpg").touch()
    (source / "text.png").write_text("Dear Sir,")
    Image.fromarray(np.full((20, 20), 9, np.uint8)).save(source / "flat.png")
    dataset = ScanSource.at(source).prepare(tmp_path / "out", Frame(size=16))
    assert len(dataset) == 30
    assert dataset.skipped == [
        Skip("empty.jpg", "the file is empty (zero bytes)"),
        Skip("flat.png", "constant image (every pixel is 9)", constant=True),
        Skip("text.png", "is not a PNG, JPEG or TIFF picture, got text"),
    ]


def test_over_a_tenth_unreadable_is_an_error(make_folder: Callable[..., Path], tmp_path: Path):
    source = make_folder(30)
    for number in range(5):
        (source / f"x{number}.png").touch()
    with pytest.raises(DataError, match=r"got 5 unreadable of 35: x0\.png: .*; x2\.png: .*; and 2 more"):
        ScanSource.at(source).prepare(tmp_path / "out", Frame(size=16))
    assert not (tmp_path / "out").exists()


def test_empty_slices_are_no_reason_to_stop_unless_there_is_nothing_else(
    make_folder: Callable[..., Path], tmp_path: Path
):
    source = make_folder(5)
    for number in range(5):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(source / f"black{number}.png")
    assert len(ScanSource.at(source).prepare(tmp_path / "out", Frame(size=16))) == 5
    for path in source.glob("0*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"expected usable images, got none of 5: black0\.png: constant image"):
        ScanSource.at(source).prepare(tmp_path / "nothing", Frame(size=16))


def test_a_full_disk_leaves_nothing(make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(spool: Spool, pixels: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = make_folder(3)
    monkeypatch.setattr(Spool, "append", no_space)
    with pytest.raises(DataError, match="out: cannot be written: No space left on device"):
        ScanSource.at(source).prepare(tmp_path / "out", Frame(size=16))
    assert list(tmp_path.iterdir()) == [source]


def test_the_fingerprint_knows_content_and_options_but_not_the_place(make_folder: Callable[..., Path], tmp_path: Path):
    first = ScanSource.at(make_folder(6)).prepare(tmp_path / "a", Frame(size=16)).fingerprint
    same = ScanSource.at(make_folder(6, name="elsewhere")).prepare(tmp_path / "b", Frame(size=16)).fingerprint
    larger = ScanSource.at(make_folder(6)).prepare(tmp_path / "c", Frame(size=17)).fingerprint
    Image.fromarray(picture(99)).save(tmp_path / "source" / "003.png")
    changed = ScanSource.at(tmp_path / "source").prepare(tmp_path / "d", Frame(size=16)).fingerprint
    assert first == same
    assert len({first, larger, changed}) == 3


def test_progress_counts_to_the_end(make_folder: Callable[..., Path], tmp_path: Path):
    calls: list[tuple[int, int]] = []
    ScanSource.at(make_folder(4)).prepare(
        tmp_path / "out", Frame(size=16), progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_size_too_small(make_folder: Callable[..., Path], tmp_path: Path):
    with pytest.raises(ValueError, match="expected at least 8 pixels, got 4"):
        ScanSource.at(make_folder(3)).prepare(tmp_path / "out", Frame(size=4))
