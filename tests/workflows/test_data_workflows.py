"""What is done with data sets returns what it found, tells its phases to whoever asks, and prints nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scans.heads import head, write_volume
from voxlex.config import Config, DataConfig, ModelConfig
from voxlex.config.options import PhantomOptions
from voxlex.data.public.catalogue import CATALOGUE
from voxlex.data.sources import SourceOptions
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.progress import Progress
from voxlex.tables import manifest
from voxlex.workflows.audit import audit
from voxlex.workflows.fetch import fetch
from voxlex.workflows.index import index
from voxlex.workflows.opening import open_for, skipped_lines
from voxlex.workflows.phantom import write
from voxlex.workflows.prepare import prepare


class Listener:
    """Hears of phases, and how far each came."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[int, int]]] = []

    @contextmanager
    def phases(self, name: str) -> Iterator[Progress]:
        last = (0, 0)

        def progress(done: int, total: int) -> None:
            nonlocal last
            last = (done, total)

        yield progress
        self.heard.append((name, last))


@pytest.fixture
def listener(capsys: pytest.CaptureFixture[str]) -> Iterator[Listener]:
    yield Listener()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def source(make_folder: Callable[..., Path]) -> Path:
    folder = make_folder(12)
    (folder / "bad.png").touch()
    return folder


def test_preparing(source: Path, tmp_path: Path, listener: Listener) -> None:
    dataset = prepare(str(source), Frame(size=16), out=tmp_path / "out", phases=listener.phases)
    assert listener.heard == [("preparing", (13, 13))]
    assert skipped_lines(dataset) == [
        "source: skipped 1 of 13 images:",
        "  bad.png: the file is empty (zero bytes)",
    ]


def test_opening(source: Path, listener: Listener) -> None:
    config = Config(data=DataConfig(size=16))
    assert len(open_for(config, str(source), phases=listener.phases)) == 12
    assert len(open_for(config, str(source), phases=listener.phases)) == 12
    assert listener.heard == [("preparing", (13, 13)), ("preparing", (0, 0))]  # the second is from the cache


def test_volumes_to_reconstruct_are_searched_for_once(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Path] = []
    search = manifest.list_scans

    def noting(folder: Path) -> list[str]:
        searched.append(folder)
        return search(folder)

    monkeypatch.setattr(manifest, "list_scans", noting)
    write_volume(tmp_path / "in" / "a.nii", head((30, 40, 20)))
    config = Config(data=DataConfig(size=16, spacing_mm=1.0), model=ModelConfig(spatial_dims=3))
    dataset = open_for(config, str(tmp_path / "in"), whole=True, phases=listener.phases)
    assert dataset.size == 44  # 41 voxels hold it, in cells of four
    assert searched == [tmp_path / "in"]
    assert listener.heard == [("measuring volumes", (1, 1)), ("preparing", (1, 1))]


def test_auditing(source: Path, tmp_path: Path, listener: Listener) -> None:
    found = audit(str(source), out=tmp_path / "page.html", phases=listener.phases)
    assert (found.figures["images"], found.figures["unreadable"]) == (13, 1)
    assert listener.heard == [("looking", (13, 13))]
    prepare(str(source), Frame(size=16), out=tmp_path / "out")
    again = audit(str(tmp_path / "out"))
    assert (again.figures["images"], again.figures["unreadable"]) == (13, 1)


def test_indexing(source: Path, tmp_path: Path, listener: Listener) -> None:
    found = index(source, out=tmp_path / "scans.csv")
    assert len(found.table) == 13
    assert listener.heard == []


def test_writing_the_phantom(tmp_path: Path, listener: Listener) -> None:
    options = PhantomOptions(subjects=2, slices=3)
    files = write(tmp_path / "out", Frame(size=16), options=options, phases=listener.phases)
    assert files == sorted((tmp_path / "out").rglob("*.png"))
    assert listener.heard == [("writing", (2, 2))]


def test_nothing_is_fetched_whose_licence_is_not_accepted(tmp_path: Path, listener: Listener) -> None:
    asked = []

    def refuses(public: object) -> bool:
        asked.append(public)
        return False

    with pytest.raises(DataError, match="ixi-t1: the licence was not accepted, so nothing was fetched"):
        fetch("ixi-t1", out=tmp_path / "ixi", accepts=refuses, phases=listener.phases)
    assert asked == [CATALOGUE["ixi-t1"]]
    assert listener.heard == []
    assert not (tmp_path / "ixi").exists()


def test_a_split_that_leaks_is_taken_if_that_is_wanted(source: Path, tmp_path: Path, listener: Listener) -> None:
    rows = [f"{number:03d}.png,p{number // 2},{('train', 'test')[number % 2]}" for number in range(12)]
    (source / "t.csv").write_text("\n".join(["path,subject,split", *rows]))
    with pytest.raises(DataError, match="its split leaks"):
        prepare(str(source / "t.csv"), Frame(size=16), out=tmp_path / "out")
    options = SourceOptions(allow_leak=True)
    dataset = prepare(str(source / "t.csv"), Frame(size=16), out=tmp_path / "out", options=options)
    assert dataset.options["leaking_subjects"] == 6
