import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scans.heads import head, write_volume
from scans.pictures import picture
from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.data import sources
from voxlex.data.prepare import prepare_folder
from voxlex.data.sources import cache_folder, open_source
from voxlex.errors import DataError
from voxlex.images import fit as fitting


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []
    read = fitting.read_picture

    def noting(path: Path, *, reduce_to: int | None = None) -> object:
        names.append(path.name)
        return read(path, reduce_to=reduce_to)

    monkeypatch.setattr(fitting, "read_picture", noting)
    return names


def test_the_second_time_nothing_is_decoded(make_folder: Callable[..., Path], cache: Path, decoded: list[str]):
    source = make_folder(5)
    first = open_source(source, size=16, cache=cache)
    assert sorted(decoded) == sorted(first.manifest["path"])
    decoded.clear()
    second = open_source(source, size=16, cache=cache)
    assert decoded == []
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.images, first.images)


def test_pictures_to_reconstruct_are_divided_like_those_to_learn_from(
    make_folder: Callable[..., Path], cache: Path, decoded: list[str]
):
    source = make_folder(12)
    for number in range(12):
        Image.fromarray(picture(number) // 2 * 2).save(source / f"copy{number}.png")
    whole = open_source(source, size=24, cache=cache, whole=True)
    decoded.clear()
    assert open_source(source, size=24, cache=cache).fingerprint == whole.fingerprint
    assert decoded == []
    assert whole.manifest["group"].nunique() == 12


def test_whole_volumes_are_kept_apart_from_slices_to_learn_from(tmp_path: Path, cache: Path):
    write_volume(tmp_path / "in" / "a.nii", head((16, 16, 16)))
    some, whole = (open_source(tmp_path / "in", size=16, cache=cache, whole=whole) for whole in (False, True))
    assert len(whole) == 16 > len(some)
    assert len(open_source(tmp_path / "in", size=16, cache=cache)) == len(some)
    coronal = open_source(tmp_path / "in", size=16, cache=cache, slices=SliceOptions(axis="coronal"))
    assert set(coronal.manifest["view"]) == {"coronal"}


@pytest.mark.parametrize("change", ["added", "removed", "rewritten", "size", "seed"])
def test_a_change_of_source_or_options_prepares_anew(
    make_folder: Callable[..., Path], cache: Path, decoded: list[str], change: str
):
    source = make_folder(5)
    open_source(source, size=16, cache=cache)
    decoded.clear()
    if change == "added":
        Image.fromarray(picture(9)).save(source / "new.png")
    elif change == "removed":
        (source / "002.png").unlink()
    elif change == "rewritten":
        status = (source / "002.png").stat()
        os.utime(source / "002.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    dataset = open_source(source, size=17 if change == "size" else 16, seed=int(change == "seed"), cache=cache)
    assert sorted(decoded) == sorted(dataset.manifest["path"])
    assert len(dataset) == {"added": 6, "removed": 4}.get(change, 5)


def test_a_prepared_folder_is_opened_as_it_is(make_folder: Callable[..., Path], tmp_path: Path, cache: Path):
    prepared = prepare_folder(make_folder(5), folder=tmp_path / "prepared", size=16)
    assert open_source(tmp_path / "prepared", size=16, cache=cache).fingerprint == prepared.fingerprint
    assert not cache.exists()
    with pytest.raises(DataError, match="prepared: prepared at 16×16 pixels, but 32×32 are asked for"):
        open_source(tmp_path / "prepared", size=32, cache=cache)


def test_a_damaged_cache_is_made_anew(make_folder: Callable[..., Path], cache: Path):
    source = make_folder(5)
    first = open_source(source, size=16, cache=cache)
    (entry,) = cache.iterdir()
    (entry / "images.npy").write_bytes(b"spoilt")
    assert open_source(source, size=16, cache=cache).fingerprint == first.fingerprint


def test_the_loser_of_a_race_takes_what_the_winner_made(
    make_folder: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    source = make_folder(5)
    prepare = sources.prepare_folder

    def slow(*arguments: object, **options: object) -> object:
        made = prepare(*arguments, **options)
        monkeypatch.setattr(sources, "prepare_folder", prepare)
        open_source(source, size=16, cache=cache)  # another process is faster
        return made

    monkeypatch.setattr(sources, "prepare_folder", slow)
    assert len(open_source(source, size=16, cache=cache)) == 5
    assert len(list(cache.iterdir())) == 1


def test_failure_leaves_the_cache_empty(make_folder: Callable[..., Path], cache: Path):
    source = make_folder(0)
    source.mkdir()
    (source / "bad.png").touch()
    with pytest.raises(DataError, match=r"bad\.png: the file is empty"):
        open_source(source, cache=cache)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(make_folder: Callable[..., Path], tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/cache: the cache cannot be written: .*; set VOXLEX_CACHE"):
        open_source(make_folder(3), cache=tmp_path / "file" / "cache")


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOXLEX_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert cache_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("VOXLEX_CACHE")
    assert cache_folder().name == "voxlex"


def test_a_dangling_link_is_listed_as_unreadable(make_folder: Callable[..., Path], cache: Path):
    source = make_folder(20)
    (source / "gone.png").symlink_to(source / "nowhere.png")
    assert open_source(source, size=16, cache=cache).skipped == [("gone.png", "no such file")]


def test_missing_source(cache: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"scans: no such file or folder$"):
        open_source(tmp_path / "scans", cache=cache)


@pytest.mark.parametrize("source", ["phantoms", "Phantm", "./phantom"])
def test_the_phantom_is_suggested_where_it_may_be_meant(source: str, cache: Path):
    with pytest.raises(DataError, match=f"^{source}: no such file or folder; did you mean 'phantom'\\?$"):
        open_source(source, cache=cache)


def test_the_phantom_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    options = PhantomOptions(subjects=3, slices=2)
    first = open_source("phantom", size=16, cache=cache, phantom=options)
    monkeypatch.setattr(sources, "prepare_phantom", None)
    assert open_source("phantom", size=16, cache=cache, phantom=options).fingerprint == first.fingerprint
    with pytest.raises(TypeError):  # other options are another phantom, which nobody can make now
        open_source("phantom", size=16, cache=cache, phantom=PhantomOptions(subjects=3, slices=3))


def test_importing_is_light():
    for module, heavy in (("scans.read_write", "torch"), ("config.options", "torch"), ("data.sources", "nilearn")):
        code = f"import sys, voxlex.{module}; sys.exit('{heavy}' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, (module, heavy)
