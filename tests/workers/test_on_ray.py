"""Work on a Ray cluster of two workers gives what one process gives, also if a worker is killed."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from PIL import Image

from voxlex.cli import main
from voxlex.config.options import PhantomOptions, ReadingOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.sources import open_source
from voxlex.errors import ClusterError, ConfigError, DataError
from voxlex.images.frame import Frame
from voxlex.progress import Progress
from voxlex.vocabulary import load
from voxlex.workers import HERE, Workers, workers_at
from voxlex.workers.on_ray import RayWorkers
from voxlex.workflows.encode import encode
from voxlex.workflows.evaluate import evaluate
from voxlex.workflows.originals import Originals

pytestmark = pytest.mark.slow

RUN = Path(__file__).parent.parent / "golden" / "transformer"
RAY = ["--ray", "local", "--workers", "2"]


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """Two workers, which stay for the session. Commands of this process use them, too."""
    pytest.importorskip("ray", reason="Ray has no wheel for this version of Python")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxlex.workers.on_ray._STORE", 100 * 2**20)
        with workers_at("local", count=2) as two:
            yield two


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough slices for several batches, a volume, and a damaged picture."""
    folder = tmp_path_factory.mktemp("scans")
    PhantomSource(PhantomOptions(subjects=10, slices=7)).write(folder, Frame(size=40), seed=1)
    rng = np.random.default_rng(0)
    nibabel.save(
        nibabel.Nifti1Image(rng.integers(0, 900, (12, 11, 9)).astype(np.int16), np.eye(4)), folder / "v.nii.gz"
    )
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "SCANS", "--size", "32", "--out", "OUT/set"],
        ["encode", "RUN", "SCANS", "--out", "OUT/codes.parquet"],
        ["reconstruct", "RUN", "SCANS", "--inputs", "--out", "OUT/reconstructed"],
        ["evaluate", "RUN", "SCANS", "--split", "all", "--json", "OUT/figures.json"],
        ["sample", "RUN", "--count", "70", "--out", "OUT/samples"],
        ["pack", "RUN", "SCANS", "--out", "OUT/scans.vxl"],
        ["pack", "RUN", "SCANS", "--lossless", "--coder", "prior", "--out", "OUT/scans.vxl"],
    ],
    ids=lambda words: "-".join(word for word in words[:2] if not word.isupper()),
)
def test_a_command_writes_the_same_bytes(
    words: list[str], workers: Workers, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, written = [], []
    for more in ([], RAY):
        out = tmp_path / str(len(said))
        out.mkdir()
        places = {"RUN": str(RUN), "SCANS": str(scans)}
        own = [places.get(word, word.replace("OUT", str(out))) for word in words]
        assert main([*own, *more]) == 0
        said.append(str(capsys.readouterr()).replace(str(out), "OUT"))
        written.append(files_of(out))
    assert written[0]
    assert written[0] == written[1]
    assert said[0] == said[1]


def test_new_images_are_judged_alike(workers: Workers) -> None:
    vocabulary = load(RUN)
    dataset = open_source(PhantomSource(PhantomOptions(subjects=16, slices=8)), Frame(size=32))
    held_out = np.arange(len(dataset)) >= 32
    labels = [("a", "b")[row // 8 % 2] for row in range(len(dataset))]
    manifest = dataset.manifest.assign(split=np.where(held_out, "test", "train"), label=labels)
    found = [
        evaluate(vocabulary, replace(dataset, manifest=manifest), samples=16, features="default", workers=own)
        for own in (HERE, workers)
    ]
    assert found[0].figures == found[1].figures
    assert {"generation.swd_reconstructed", "label.reconstructions.auroc"} <= set(found[0].figures)


def test_results_come_in_order_and_a_few_at_a_time(workers: Workers) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(40):
            asked.append(number)
            yield number

    results = workers.map(lambda number: number**2, items())
    assert next(results) == 0
    assert len(asked) <= 8
    assert list(results) == [number**2 for number in range(1, 40)]


def test_a_worker_that_is_killed_changes_nothing(workers: Workers, tmp_path: Path) -> None:
    vocabulary = load(RUN)
    dataset = open_source(PhantomSource(PhantomOptions(subjects=40, slices=8)), Frame(size=32))
    encode(vocabulary, dataset, out=tmp_path / "here.parquet")
    (victim, *_) = set(workers.map(lambda _: os.getpid(), range(8)))
    heard: list[tuple[int, int]] = []

    @contextmanager
    def phases(name: str) -> Iterator[Progress]:
        def progress(done: int, total: int) -> None:
            if not heard:
                os.kill(victim, signal.SIGKILL)
            heard.append((done, total))

        yield progress

    encode(vocabulary, dataset, out=tmp_path / "there.parquet", workers=workers, phases=phases)
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert heard == [(done, 320) for done in range(32, 321, 32)]
    assert victim not in set(workers.map(lambda _: os.getpid(), range(8)))


def test_an_error_is_the_same_as_here(workers: Workers, scans: Path) -> None:
    originals = Originals({"gone": scans / "gone.png"}, ReadingOptions())
    messages = []
    for own in (HERE, workers):
        coded = originals.coded(["gone"], workers=own)
        with pytest.raises(DataError) as caught:
            next(coded)
        assert type(caught.value) is DataError
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_work_that_is_broken_off_leaves_the_workers_for_other_work(workers: Workers) -> None:
    results = workers.map(lambda number: number, range(100))
    assert next(results) == 0
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt())
    assert list(workers.map(lambda number: -number, range(3))) == [0, -1, -2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: no cluster can be reached there: Connection refused"),
        (
            ["--ray", "ray://head:10001"],
            "--ray: expected local, auto, or HOST:PORT of the head of a cluster that this machine belongs to, got "
            "'ray://head:10001'",
        ),
        (["--workers", "2"], "--workers: expected --ray beside it, which tells where they are"),
        (["--ray", "local", "--workers", "0"], "--workers: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(RUN), "--out", str(tmp_path / "out"), *options]) == 1
    assert capsys.readouterr() == ("", f"voxlex: {message}\n")
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"extra 'cluster', got .* without ray; pip install 'voxlex\[cluster\]'$"):
        workers_at("auto").__enter__()


def fake(monkeypatch: pytest.MonkeyPatch, **parts: Callable[..., object]) -> None:
    usual = {"is_initialized": lambda: False, "shutdown": lambda: None, "init": lambda **_: None}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(**usual | parts))


def test_the_reason_of_ray_comes_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.1\nThis process with:\n    2.2")

    fake(monkeypatch, init=init)
    with pytest.raises(ClusterError) as caught:
        workers_at("auto").__enter__()
    assert str(caught.value) == (
        "--ray auto: cannot be used: Version mismatch: The cluster was started with: Ray: 2.1 This process with: 2.2"
    )


def test_an_item_that_kills_all_of_its_workers_is_given_up() -> None:
    class DiedError(Exception):
        pass

    def get(_: object) -> None:
        raise DiedError

    errors = SimpleNamespace(RayError=DiedError, RayTaskError=ZeroDivisionError)
    task = SimpleNamespace(remote=lambda *_: None)
    ray = SimpleNamespace(remote=lambda **_: lambda _: task, put=lambda _: None, get=get, exceptions=errors)
    with pytest.raises(ClusterError, match=r"^--ray: expected a result .* 4 tries of one item failed, .* DiedError;"):
        list(RayWorkers(ray, count=1, threads=1).map(abs, [1]))


def test_a_cluster_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, remote=lambda **_: lambda function: function, nodes=lambda: [{"Alive": True, "Resources": {}}])
    with pytest.raises(ConfigError, match=r"^--ray: expected machines with \d+ processors, .* got at most 0; set OMP_"):
        workers_at("auto").__enter__()


def test_ray_is_imported_only_if_it_is_asked_for(tmp_path: Path) -> None:
    before = set(sys.modules)
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "scan.png")
    assert main(["encode", str(RUN), str(tmp_path / "scan.png"), "--out", str(tmp_path / "codes.parquet")]) == 0
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "ray"}
