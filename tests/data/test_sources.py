import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scans.heads import head, write_volume
from scans.pictures import picture
from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.data import sources
from voxlex.data.building import Filled, Spool, build
from voxlex.data.dataset import PreparedDataset, Skip
from voxlex.data.phantoms import phantom
from voxlex.data.phantoms.phantom import PhantomSource, generate_subject
from voxlex.data.scan_source import ScanSource
from voxlex.data.sources import cache_folder, find_source, open_source
from voxlex.errors import DataError
from voxlex.images import fit as fitting
from voxlex.images.frame import Frame
from voxlex.tables import manifest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []
    read = fitting.read_picture

    def noting(path: Path, **options: object) -> object:
        names.append(path.name)
        return read(path, **options)

    monkeypatch.setattr(fitting, "read_picture", noting)
    return names


def test_the_second_time_nothing_is_decoded(make_folder: Callable[..., Path], cache: Path, decoded: list[str]):
    source = make_folder(5)
    first = open_source(source, Frame(size=16), cache=cache)
    assert sorted(decoded) == sorted(first.manifest["path"])
    decoded.clear()
    second = open_source(source, Frame(size=16), cache=cache)
    assert decoded == []
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.images, first.images)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were searched for scans."""
    folders: list[Path] = []
    search = manifest.list_scans

    def noting(folder: Path) -> list[str]:
        folders.append(folder)
        return search(folder)

    monkeypatch.setattr(manifest, "list_scans", noting)
    return folders


def test_a_folder_is_searched_once(make_folder: Callable[..., Path], cache: Path, listed: list[Path]):
    source = make_folder(5)
    open_source(source, Frame(size=16), cache=cache)
    assert listed == [source]
    open_source(source, Frame(size=16), cache=cache)
    assert listed == [source] * 2


def test_pictures_to_reconstruct_are_divided_like_those_to_learn_from(
    make_folder: Callable[..., Path], cache: Path, decoded: list[str]
):
    source = make_folder(12)
    for number in range(12):
        Image.fromarray(picture(number) // 2 * 2).save(source / f"copy{number}.png")
    whole = open_source(source, Frame(size=24, whole=True), cache=cache)
    decoded.clear()
    assert open_source(source, Frame(size=24), cache=cache).fingerprint == whole.fingerprint
    assert decoded == []
    assert whole.manifest["group"].nunique() == 12


def test_whole_volumes_are_kept_apart_from_slices_to_learn_from(tmp_path: Path, cache: Path):
    write_volume(tmp_path / "in" / "a.nii", head((16, 16, 16)))
    some, whole = (open_source(tmp_path / "in", Frame(size=16, whole=whole), cache=cache) for whole in (False, True))
    assert len(whole) == 16 > len(some)
    assert len(open_source(tmp_path / "in", Frame(size=16), cache=cache)) == len(some)
    coronal = open_source(tmp_path / "in", Frame(size=16, slices=SliceOptions(axis="coronal")), cache=cache)
    assert set(coronal.manifest["view"]) == {"coronal"}


@pytest.mark.parametrize("change", ["added", "removed", "rewritten", "size", "seed"])
def test_a_change_of_source_or_options_prepares_anew(
    make_folder: Callable[..., Path], cache: Path, decoded: list[str], change: str
):
    source = make_folder(5)
    open_source(source, Frame(size=16), cache=cache)
    decoded.clear()
    if change == "added":
        Image.fromarray(picture(9)).save(source / "new.png")
    elif change == "removed":
        (source / "002.png").unlink()
    elif change == "rewritten":
        status = (source / "002.png").stat()
        os.utime(source / "002.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    dataset = open_source(source, Frame(size=17 if change == "size" else 16), seed=int(change == "seed"), cache=cache)
    assert sorted(decoded) == sorted(dataset.manifest["path"])
    assert len(dataset) == {"added": 6, "removed": 4}.get(change, 5)


def test_a_prepared_folder_is_opened_as_it_is(make_folder: Callable[..., Path], tmp_path: Path, cache: Path):
    prepared = ScanSource.at(make_folder(5)).prepare(tmp_path / "prepared", Frame(size=16))
    assert open_source(tmp_path / "prepared", Frame(size=16), cache=cache).fingerprint == prepared.fingerprint
    assert not cache.exists()
    with pytest.raises(DataError, match="prepared: expected images of 32×32, got a set prepared at 16×16"):
        open_source(tmp_path / "prepared", Frame(size=32), cache=cache)


def test_a_prepared_folder_is_taken_in_its_own_frame_where_none_is_asked_for(
    make_folder: Callable[..., Path], tmp_path: Path
):
    ScanSource.at(make_folder(5)).prepare(tmp_path / "prepared", Frame(size=24))
    assert open_source(tmp_path / "prepared").size == 24


def test_a_prepared_folder_can_be_prepared_elsewhere(make_folder: Callable[..., Path], tmp_path: Path):
    first = ScanSource.at(make_folder(5)).prepare(tmp_path / "prepared", Frame(size=16))
    copy = find_source(tmp_path / "prepared").prepare(tmp_path / "copy", Frame(size=16), seed=3)
    assert copy.fingerprint == first.fingerprint
    assert PreparedDataset.open(tmp_path / "copy").manifest.equals(first.manifest)
    with pytest.raises(DataError, match="expected images of 17×17, got a set prepared at 16×16"):
        find_source(tmp_path / "prepared").prepare(tmp_path / "other", Frame(size=17))


def test_a_prepared_folder_of_cubes_has_a_spacing(tmp_path: Path):
    PhantomSource(PhantomOptions(subjects=3)).prepare(tmp_path / "p", Frame(size=16, spacing_mm=8.0))
    assert open_source(tmp_path / "p", Frame(size=16, spacing_mm=8.0)).spatial_dims == 3
    with pytest.raises(DataError, match=r"p: expected voxels of 4\.0 mm, got a set prepared at 8\.0 mm"):
        open_source(tmp_path / "p", Frame(size=16, spacing_mm=4.0))


def test_a_split_that_leaks_is_not_taken_from_the_cache_of_one_that_may(tmp_path: Path, cache: Path):
    for number in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(tmp_path / "in" / f"{number}.png")
    rows = [f"in/{number}.png,{'p' if number < 2 else ''},{('train', 'test')[number % 2]}" for number in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["path,subject,split", *rows]))
    allowing = ScanSource.at(tmp_path / "t.csv", allow_leak=True)
    assert len(open_source(allowing, Frame(size=16), cache=cache)) == 6
    with pytest.raises(DataError, match="its split leaks"):
        open_source(tmp_path / "t.csv", Frame(size=16), cache=cache)


def test_a_damaged_cache_is_made_anew(make_folder: Callable[..., Path], cache: Path):
    source = make_folder(5)
    first = open_source(source, Frame(size=16), cache=cache)
    (entry,) = cache.iterdir()
    (entry / "images.npy").write_bytes(b"spoilt")
    assert open_source(source, Frame(size=16), cache=cache).fingerprint == first.fingerprint


def test_the_loser_of_a_race_takes_what_the_winner_made(
    make_folder: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    source = make_folder(5)
    prepare = ScanSource.prepare

    def slow(*arguments: object, **options: object) -> object:
        made = prepare(*arguments, **options)
        monkeypatch.setattr(ScanSource, "prepare", prepare)
        open_source(source, Frame(size=16), cache=cache)  # another process is faster
        return made

    monkeypatch.setattr(ScanSource, "prepare", slow)
    assert len(open_source(source, Frame(size=16), cache=cache)) == 5
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
    assert open_source(source, Frame(size=16), cache=cache).skipped == [Skip("gone.png", "no such file")]


def test_missing_source(cache: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"scans: no such file or folder$"):
        open_source(tmp_path / "scans", cache=cache)


@pytest.mark.parametrize("source", ["phantoms", "Phantm", "./phantom"])
def test_the_phantom_is_suggested_where_it_may_be_meant(source: str, cache: Path):
    with pytest.raises(DataError, match=f"^{source}: no such file or folder; did you mean 'phantom'\\?$"):
        open_source(source, cache=cache)


def test_the_phantom_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []

    def noting(subject: int, **options: object) -> object:
        made.append(subject)
        return generate_subject(subject, **options)

    monkeypatch.setattr(phantom, "generate_subject", noting)
    options = PhantomOptions(subjects=3, slices=2)
    first = open_source(PhantomSource(options), Frame(size=16), cache=cache)
    assert made == [0, 1, 2]
    assert open_source(PhantomSource(options), Frame(size=16), cache=cache).fingerprint == first.fingerprint
    assert made == [0, 1, 2]
    open_source(PhantomSource(PhantomOptions(subjects=3, slices=3)), Frame(size=16), cache=cache)
    assert made == [0, 1, 2] * 2


class Discs:
    """A kind of source that nobody has thought of: bright discs on black, the last of them out of sight."""

    name = "discs"
    index = None

    def __init__(self, count: int) -> None:
        self.count = count

    def ready(self, frame: Frame | None) -> None:
        return None

    def state(self, frame: Frame) -> list[object]:
        return ["discs", self.count, frame.size]

    def prepare(
        self, folder: Path, frame: Frame, *, seed: int = 0, progress: object = None, workers: object = None
    ) -> PreparedDataset:
        def fill(spool: Spool) -> Filled:
            rows, columns = np.indices(frame.shape) - frame.size / 2
            for number in range(self.count - 1):
                spool.append(np.uint8(255) * (np.hypot(rows, columns) < number + 2).astype(np.uint8))
            paths = [f"disc-{number}" for number in range(self.count - 1)]
            table = pd.DataFrame({"path": paths, "subject": "", "label": "", "slice": pd.NA, "group": paths})
            facts = {"height": frame.size, "width": frame.size, "bit_depth": 8, "intensity_low": 0.0}
            return Filled(table.assign(**facts, intensity_high=255.0), [Skip("the last", "out of sight")], [])

        return build(folder, frame, fill=fill, seed=seed, name=self.name, options={}, compare=False)


def test_a_new_kind_of_source_is_a_class_and_an_entry(cache: Path, monkeypatch: pytest.MonkeyPatch):
    discs = sources.Kind(lambda place: place.startswith("discs:"), lambda place, _: Discs(int(place[6:])))
    monkeypatch.setattr(sources, "KINDS", (discs, *sources.KINDS))
    dataset = open_source("discs:8", Frame(size=32), cache=cache)
    assert (dataset.name, len(dataset), dataset.skipped) == ("discs", 7, [Skip("the last", "out of sight")])
    monkeypatch.setattr(Discs, "prepare", lambda *_, **__: pytest.fail("made twice"))
    assert open_source("discs:8", Frame(size=32), cache=cache).fingerprint == dataset.fingerprint
    assert find_source("phantom").name == "phantom"


def test_importing_is_light():
    for module, heavy in (("scans.read_write", "torch"), ("config.options", "torch"), ("data.sources", "nilearn")):
        code = f"import sys, voxlex.{module}; sys.exit('{heavy}' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, (module, heavy)
