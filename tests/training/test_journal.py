"""The figures of a run, from one session to the next."""

import csv
import socket
from pathlib import Path

import pytest

from voxlex.errors import DataError
from voxlex.run_folder import RunFolder
from voxlex.training.journal import Journal, read_journal


def note(folder: Path, *, stage: str, steps: range, resumed_step: int = 0) -> None:
    """Write one figure a step."""
    with Journal(RunFolder(folder), stage=stage, resumed_step=resumed_step) as journal:
        for step in steps:
            journal.write({"train/loss": 1 / step}, step=step, elapsed_s=step)


def test_resuming_keeps_other_stages_and_what_was_saved(tmp_path: Path) -> None:
    note(tmp_path, stage="autoencoder", steps=range(1, 4))
    note(tmp_path, stage="prior", steps=range(1, 6))
    note(tmp_path, stage="prior", steps=range(3, 5), resumed_step=2)
    steps = [(row["stage"], int(row["step"])) for row in read_journal(tmp_path / "metrics.csv")]
    assert steps == [*(("autoencoder", n) for n in (1, 2, 3)), *(("prior", n) for n in (1, 2, 3, 4))]


def test_a_disk_that_is_full_on_resuming_costs_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note(tmp_path, stage="prior", steps=range(1, 6))
    before = (tmp_path / "metrics.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", full)
    with pytest.raises(DataError, match=r"metrics\.csv: cannot be written: No space left"):
        Journal(RunFolder(tmp_path), stage="prior", resumed_step=4)
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("name", ["metrics.csv", "events"])
def test_figures_wait_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    notes: list[str] = []
    real = Path.open

    def full(path: Path, mode: str = "r", *rest: object, **more: object) -> object:
        if mode == "ab" and path.name.startswith(name):
            with real(path, mode) as file:  # a part of it finds room
                file.write(b"toy,3,")
            raise OSError(28, "No space left on device")
        return real(path, mode, *rest, **more)  # type: ignore[call-overload]

    with Journal(RunFolder(tmp_path), stage="toy", note=notes.append) as journal:
        journal.write({"train/loss": 1.0}, step=1, elapsed_s=1)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", full)
            journal.write({"train/loss": 0.5}, step=2, elapsed_s=2)
            journal.write({"train/loss": 0.25}, step=3, elapsed_s=3)
        journal.write({"train/loss": 0.125}, step=4, elapsed_s=4)
    assert [row["value"] for row in read_journal(tmp_path / "metrics.csv")] == ["1", "0.5", "0.25", "0.125"]
    assert curves(tmp_path) == {1: 1.0, 2: 0.5, 3: 0.25, 4: 0.125}
    [note] = notes
    assert f"{name}" in note
    assert "No space left on device" in note


def curves(folder: Path) -> dict[int, float]:
    """Return the loss of each step, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {event.step: event.value for event in read.Scalars("toy/train/loss")}


def test_curves_go_on_from_where_a_training_resumes(tmp_path: Path) -> None:
    note(tmp_path, stage="toy", steps=range(1, 5))
    note(tmp_path, stage="toy", steps=range(3, 6), resumed_step=2)
    assert curves(tmp_path) == {step: pytest.approx(1 / step) for step in range(1, 6)}


def test_no_file_is_named_after_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-machine")
    note(tmp_path, stage="toy", steps=range(1, 3))
    for path in tmp_path.rglob("*"):
        assert "secret-machine" not in path.name
        assert path.is_dir() or b"secret-machine" not in path.read_bytes()


def test_a_row_cut_short_is_left_out(tmp_path: Path) -> None:
    note(tmp_path, stage="toy", steps=range(1, 3))
    with (tmp_path / "metrics.csv").open("ab") as file:
        file.write(b"toy,9,1.0,train/lo")
    note(tmp_path, stage="toy", steps=range(3, 4), resumed_step=2)
    assert [int(row["step"]) for row in read_journal(tmp_path / "metrics.csv")] == [1, 2, 3]
    (tmp_path / "metrics.csv").write_bytes(bytes(64))
    assert read_journal(tmp_path / "metrics.csv") == []
