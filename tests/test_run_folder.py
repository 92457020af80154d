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
