from pathlib import Path

import pytest

from voxlex.config import Config
from voxlex.errors import ConfigError, RunError
from voxlex.run_folder import RunFolder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", Config()).update_metadata({"labels": ["a"]})
    run = RunFolder.open(tmp_path / "run")
    assert run.config() == Config()
    assert run.metadata()["labels"] == ["a"]
    assert "torch" in run.metadata()["versions"]


def test_refuses_to_replace_a_run_unless_told_to(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, Config())
    with pytest.raises(RunError, match="--overwrite"):
        RunFolder.create(tmp_path, Config())
    run.check_free(overwrite=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("thesis.tex", "ten years of work"),
        ("config.yaml", "lr: 0.1  # of another program"),
        ("metadata.json", "[]"),
        ("metadata.json", '{"format_version": 1, "author": "me"}'),
    ],
)
def test_what_is_not_a_run_is_never_replaced(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match="other files"):
        RunFolder(tmp_path).check_free(overwrite=True)


@pytest.mark.parametrize("name", ["masked", "unfinished", "volumes"])
def test_runs_of_version_0_1_0_are_known(name: str) -> None:
    RunFolder(Path(__file__).parent / "golden" / name).check_free(overwrite=True)


def test_refuses_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="got a file"):
        RunFolder.create(tmp_path / "run", Config())


def test_open_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a run folder"):
        RunFolder.open(tmp_path)
    run = RunFolder.create(tmp_path, Config())
    run.update_metadata({"format_version": 99})
    with pytest.raises(RunError, match="format 1, got 99"):
        RunFolder.open(tmp_path)
    run.metadata_file.write_text("{")
    with pytest.raises(RunError, match=r"metadata\.json"):
        RunFolder.open(tmp_path)
    run.config_file.write_text("data: 3")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        run.config()


def test_one_training_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "run")
    with folder.locked():
        with pytest.raises(RunError, match=r"run: another process \(\d+\) trains in this folder"), folder.locked():
            pytest.fail("both train")
        folder.check_free(overwrite=False)  # the lock is not a file of somebody else's
        folder.begin(Config())
        assert RunFolder.open(folder.path).config() == Config()  # who only reads does not wait
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.yaml", "metadata.json"]


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "runs" / "run").locked():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [(".lock", ".metadata.json.0123abcd.tmp"), (".lock", "metadata.json")])
def test_what_a_start_left_when_it_was_killed_is_no_obstacle(tmp_path: Path, left: tuple[str, ...]) -> None:
    RunFolder.create(tmp_path / "run", Config())
    (tmp_path / "run" / "config.yaml").unlink()
    if "metadata.json" not in left:
        (tmp_path / "run" / "metadata.json").unlink()
        (tmp_path / "run" / left[1]).write_text("{")
    (tmp_path / "run" / ".lock").write_text("1\n")
    folder = RunFolder(tmp_path / "run")
    assert folder.is_unbegun()
    folder.check_free(overwrite=False)
    with folder.locked():
        folder.begin(Config())
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.yaml", "metadata.json"]


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["config.yaml", "metadata.json"])
def test_no_setting_comes_from_a_file_cut_short(tmp_path: Path, name: str, kept: float) -> None:
    run = RunFolder.create(tmp_path / "run", Config())
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content[: int(kept * len(content))])
    with pytest.raises((RunError, ConfigError), match=name.replace(".", r"\.")):
        run.config() if name == "config.yaml" else run.metadata()
    run.check_free(overwrite=True)  # and it can be replaced


def test_zeros_that_a_power_cut_left_are_no_settings(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", Config())
    run.metadata_file.write_bytes(bytes(100))
    with pytest.raises(RunError, match=r"metadata\.json: expected the description of a run, got an empty file"):
        run.metadata()
    (run.path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(RunError, match="other files"):
        run.check_free(overwrite=True)


def test_no_folder_is_not_the_same_as_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none: no such folder"):
        RunFolder.open(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file: expected a run folder, got a file"):
        RunFolder.open(tmp_path / "file")


def test_errors_of_a_training_are_not_taken_for_those_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), RunFolder(tmp_path / "run").locked():
        raise BrokenPipeError


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="run: cannot be written: "), RunFolder(tmp_path / "file" / "run").locked():
        pytest.fail("the block must not run with nowhere to write")
