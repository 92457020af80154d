"""A training that is refused, fails or is killed before it saves anything leaves the run that was there as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from voxlex.config import Config
from voxlex.errors import DataError
from voxlex.run_folder import RunFolder
from voxlex.training.journal import Journal
from voxlex.workflows.replacement import replacing

OTHER = replace(Config(), training=replace(Config().training, seed=5))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["a folder", "a link"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """A finished run, with a file that is not of it."""
    path = tmp_path / "run"
    if request.param == "a link":
        (tmp_path / "disk").mkdir()
        path.symlink_to(tmp_path / "disk")
    run = RunFolder.create(path, Config())
    run.update_metadata({"stages": {name: {"steps": 3, "minutes": 0.1} for name in ("autoencoder", "prior")}})
    run.curves_folder.mkdir()
    (run.curves_folder / "events.out.tfevents.1").write_text("old")
    for file in (run.autoencoder_file, run.prior_file, run.journal_file, run.report_file, path / "thesis.tex"):
        file.write_text("old")
    return run


@pytest.mark.parametrize(("goes_on", "without"), [(False, None), (True, "prior"), (True, None)])
def test_a_training_that_fails_at_once_changes_nothing(run: RunFolder, goes_on: bool, without: str | None) -> None:
    before = contents(run.path)

    def fail() -> None:
        with replacing(run, OTHER, goes_on=goes_on, without=without):
            assert run.config() == OTHER
            assert run.prior_file.exists() == (goes_on and without is None)
            run.update_metadata({"data": "new"})
            run.journal_file.write_text("new")
            run.curves_folder.mkdir(exist_ok=True)
            raise DataError("too few images")

    with pytest.raises(DataError, match="too few images"):
        fail()
    assert contents(run.path) == before


def test_a_new_run_takes_the_place_of_the_old_one_and_of_nothing_else(run: RunFolder) -> None:
    with replacing(run, OTHER, goes_on=False, without=None):
        run.autoencoder_file.write_text("new")
    assert set(contents(run.path)) == {"config.yaml", "metadata.json", "autoencoder.safetensors", "thesis.tex"}
    assert "stages" not in run.metadata()


def test_what_was_saved_before_a_failure_stays(run: RunFolder) -> None:
    def fail() -> None:
        with replacing(run, OTHER, goes_on=False, without=None):
            run.state_file("autoencoder").write_text("new")
            raise DataError("later")

    with pytest.raises(DataError, match="later"):
        fail()
    assert run.config() == OTHER
    assert not run.autoencoder_file.exists()
    assert not (run.path / ".replaced").exists()


@pytest.mark.parametrize("saved", [False, True])
def test_after_a_kill_the_next_call_finds_the_old_run(run: RunFolder, saved: bool) -> None:
    before = contents(run.path)
    killed = replacing(run, OTHER, goes_on=False, without=None)
    killed.__enter__()
    if saved:
        run.state_file("autoencoder").write_text("new")
    after = contents(run.path)

    def fail() -> None:
        with replacing(run, Config(), goes_on=False, without=None):
            raise DataError("refused")

    with pytest.raises(DataError, match="refused"):
        fail()
    of_new = {name: content for name, content in after.items() if not name.startswith(".replaced/")}
    assert contents(run.path) == (of_new if saved else before)


def test_after_a_kill_the_new_run_may_go_on(run: RunFolder) -> None:
    killed = replacing(run, OTHER, goes_on=False, without=None)
    killed.__enter__()
    with replacing(run, OTHER, goes_on=True, without=None):
        run.autoencoder_file.write_text("new")
    assert run.config() == OTHER
    assert not run.prior_file.exists()
    assert not (run.path / ".replaced").exists()


def test_a_new_run_that_fails_before_it_saves_anything_leaves_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "run")

    def fail() -> None:
        with run.locked(), replacing(run, OTHER, goes_on=False, without=None):
            with Journal(run, stage="autoencoder") as journal:
                journal.write({"train/loss": 1.0}, step=1, elapsed_s=1)
            raise DataError("the loss is nan")

    with pytest.raises(DataError, match="the loss is nan"):
        fail()
    assert list(tmp_path.iterdir()) == []
