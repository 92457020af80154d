"""The figures of a run, from one session to the next."""

import csv
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
