"""The figures of a run as they come: a table for people and scripts, TensorBoard for curves."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from torch.utils.tensorboard import SummaryWriter

from voxlex.files import atomic_file

COLUMNS = ("stage", "step", "elapsed_s", "name", "value")


@runtime_checkable
class JournalFiles(Protocol):
    """Where figures go; a run folder says so."""

    @property
    def journal_file(self) -> Path:
        """The table."""

    @property
    def curves_folder(self) -> Path:
        """The same for TensorBoard."""


class Journal:
    """Appends figures to the files of a run, one row a figure.

    Args:
        files: Where they go.
        stage: Name of the stage; rows of other stages stay as they are.
        resumed_step: Rows of this stage after that step are dropped: they were not saved with the weights.
        active: Write at all; of several processes only the first does.

    Raises:
        DataError: If the file cannot be written. What an earlier call wrote is then unchanged.
    """

    def __init__(self, files: JournalFiles, *, stage: str, resumed_step: int = 0, active: bool = True) -> None:
        self._active = active
        if not active:
            return
        path = files.journal_file
        kept = [row for row in read_journal(path) if row["stage"] != stage or int(row["step"]) <= resumed_step]
        with atomic_file(path) as building, building.open("w", newline="", encoding="utf-8") as file:
            begun = csv.DictWriter(file, COLUMNS)
            begun.writeheader()
            begun.writerows(kept)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, COLUMNS)
        self._stage = stage
        self._curves = SummaryWriter(files.curves_folder, purge_step=resumed_step or None)

    def write(self, figures: Mapping[str, float], *, step: int, elapsed_s: float) -> None:
        """Append figures of one step; names look like `train/loss` or `validation/ssim`."""
        if not self._active:
            return
        for name, value in figures.items():
            row = (self._stage, step, f"{elapsed_s:.2f}", name, f"{value:.6g}")
            self._rows.writerow(dict(zip(COLUMNS, row, strict=True)))
            self._curves.add_scalar(f"{self._stage}/{name}", value, step)
        self._file.flush()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._active:
            return
        self._file.close()
        self._curves.close()


def read_journal(path: Path) -> list[dict[str, str]]:
    """Return the rows of a journal; none, if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
