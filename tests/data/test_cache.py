"""The cache of prepared sets: it forgets bad moments, keeps what is intact, and notices damage."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scans.pictures import picture
from voxlex.cli import main
from voxlex.data import scan_source, stored
from voxlex.data.cache import clean, entries
from voxlex.data.dataset import PreparedDataset
from voxlex.data.sources import find_source, open_source
from voxlex.errors import DataError
from voxlex.images.fit import fit_scan
from voxlex.images.frame import Frame

FRAME = Frame(size=16)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def failing(name: str, error: BaseException) -> Callable[..., object]:
    def fit(path: Path, *arguments: object, **options: object) -> object:
        if path.name == name:
            raise DataError(f"{path}: cannot be decoded") from error
        return fit_scan(path, *arguments, **options)

    return fit


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        PermissionError(errno.EACCES, "Permission denied"),  # although the file can be read again
        MemoryError(),
    ],
    ids=["files", "disk", "network", "memory", "permission", "allocation"],
)
def test_trouble_of_the_machine_ends_the_preparation_and_is_not_kept(
    make_folder: Callable[..., Path], cache: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(20)
    with monkeypatch.context() as patch:
        patch.setattr(scan_source, "fit_scan", failing("007.png", error))
        with pytest.raises(DataError, match=r"007\.png: cannot be read at this moment: "):
            open_source(source, FRAME, cache=cache)
    assert list(cache.iterdir()) == []
    assert len(open_source(source, FRAME, cache=cache)) == 20


def test_a_bad_file_is_skipped(make_folder: Callable[..., Path], cache: Path) -> None:
    source = make_folder(20)
    (source / "007.png").write_bytes(b"damaged")
    assert [skip.path for skip in open_source(source, FRAME, cache=cache).skipped] == ["007.png"]


def test_a_file_that_may_be_read_again_is_read_again(
    make_folder: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(20)
    access, forbidden = os.access, source / "007.png"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != forbidden and access(path, mode))
        error = PermissionError(errno.EACCES, "Permission denied", str(forbidden))
        patch.setattr(scan_source, "fit_scan", failing("007.png", error))
        assert [skip.path for skip in open_source(source, FRAME, cache=cache).skipped] == ["007.png"]
    assert open_source(source, FRAME, cache=cache).skipped == []


def test_scans_that_change_while_they_are_read_are_not_kept(
    make_folder: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(6)

    def fit(path: Path, *arguments: object, **options: object) -> object:
        fitted = fit_scan(path, *arguments, **options)
        changed = source.parent / f"{path.name}.changed.png"
        Image.fromarray(picture(99)).save(changed)
        os.utime(changed, ns=(0, 0))
        changed.replace(source / "003.png")  # at once, because others are reading it
        return fitted

    with monkeypatch.context() as patch:
        patch.setattr(scan_source, "fit_scan", fit)
        with pytest.raises(DataError, match="source: the scans have changed while they were read"):
            open_source(source, FRAME, cache=cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("part", ["read_record", "read_manifest", "check_sums"])
def test_an_intact_entry_stays_when_it_cannot_be_opened(
    make_folder: Callable[..., Path], cache: Path, number: int, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(5)
    open_source(source, FRAME, cache=cache)
    (entry,) = cache.iterdir()
    before = {path.name: path.read_bytes() for path in entry.iterdir()}

    def refuse(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"voxlex.data.dataset.{part}", refuse)
        with pytest.raises(DataError, match=f"cannot be read: {os.strerror(number)}"):
            open_source(source, FRAME, cache=cache)
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before


@pytest.mark.parametrize("file", ["images.npy", "manifest.parquet"])
@pytest.mark.parametrize("damage", ["a byte", "cut short", "too long"])
def test_damage_is_noticed(
    make_folder: Callable[..., Path], cache: Path, tmp_path: Path, file: str, damage: str
) -> None:
    source = make_folder(5)
    first = open_source(source, FRAME, cache=cache)
    find_source(source).prepare(tmp_path / "prepared", FRAME)
    (entry,) = cache.iterdir()
    for folder in (entry, tmp_path / "prepared"):
        content = bytearray((folder / file).read_bytes())
        if damage == "a byte":
            content[-40] ^= 1
        (folder / file).write_bytes({"cut short": content[:-9], "too long": content + b"x"}.get(damage, content))
    with pytest.raises(DataError, match="prepared: damaged prepared data set"):
        PreparedDataset.open(tmp_path / "prepared")
    assert open_source(source, FRAME, cache=cache).fingerprint == first.fingerprint


def test_of_many_images_blocks_are_compared(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_BLOCK", 64)
    monkeypatch.setattr(stored, "_BLOCKS", 4)
    find_source(make_folder(5)).prepare(tmp_path / "prepared", FRAME)
    content = bytearray((tmp_path / "prepared" / "images.npy").read_bytes())
    content[-1] ^= 1  # in the last block, which is always compared
    (tmp_path / "prepared" / "images.npy").write_bytes(content)
    with pytest.raises(DataError, match="got changes in its images"):
        PreparedDataset.open(tmp_path / "prepared")


def test_images_that_are_cut_short_while_they_are_used_are_an_error(
    make_folder: Callable[..., Path], cache: Path
) -> None:
    dataset = open_source(make_folder(12), FRAME, cache=cache)
    train = dataset.subset("train")
    (entry,) = cache.iterdir()
    os.truncate(entry / "images.npy", 200)
    for use in (lambda: train.tensor([0]), lambda: dataset.tensor(), lambda: dataset.images[3].any()):
        with pytest.raises(DataError, match=r"images\.npy: was cut short while it was in use"):
            use()


def test_the_cache_belongs_to_its_owner_and_tells_nothing(tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "Jane Doe 1980-01-01"
    source.mkdir()
    Image.fromarray(picture(1)).save(source / "1.png")
    open_source(source, FRAME, cache=cache)
    (entry,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == stat.S_IMODE(entry.stat().st_mode) == 0o700
    assert "Doe" not in entry.name


def test_long_and_strange_names_of_sources(tmp_path: Path, cache: Path) -> None:
    for name in (b"x" * 255, b"\xfc\n" * 60):
        source = tmp_path / os.fsdecode(name)
        source.mkdir()
        Image.fromarray(picture(1)).save(source / "1.png")
        dataset = open_source(source, FRAME, cache=cache)
        assert dataset.name.isprintable()


def test_the_cache_is_listed_and_cleaned(
    make_folder: Callable[..., Path],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = make_folder(5)
    open_source(source, FRAME, cache=cache)
    open_source(source, Frame(size=17), cache=cache)
    find_source(source).prepare(cache / "mine", FRAME)  # which somebody has put there
    (cache / "notes.txt").write_text("mine")
    oldest = entries(cache)[1].folder
    os.utime(oldest, (0, 0))
    monkeypatch.setenv("VOXLEX_CACHE", str(cache))
    assert main(["data", "cache"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in said[:2]] == ["source", "source"]
    assert said[-1].startswith("2 data sets of ")
    assert main(["data", "cache", "--clean", "--older-than", "9"]) == 0
    assert not oldest.exists()
    assert len(entries(cache)) == 1
    assert len(clean(cache)) == 1
    assert {path.name for path in cache.iterdir()} == {"mine", "notes.txt"}
    assert len(PreparedDataset.open(cache / "mine")) == 5


def test_trouble_while_volumes_are_measured_ends_it(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = find_source(make_folder(3)).index

    def refuse(path: Path, *_: object, **__: object) -> object:
        raise DataError(f"{path}: cannot be read") from OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(scan_source, "scan_at", refuse)
    with pytest.raises(DataError, match=r"000\.png: cannot be read at this moment: Too many open files"):
        scan_source.covering(Frame(size=16, spacing_mm=1.0), index, multiple_of=4)
