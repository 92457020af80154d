"""Record the figures of a run in a CSV file, and in TensorBoard for curves."""

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
    """The files for figures, such as those of a run folder."""

    @property
    def journal_file(self) -> Path:
        """The CSV file."""

    @property
    def curves_folder(self) -> Path:
        """The folder for TensorBoard."""


class Journal:
    """Appends figures to the files of a run, with one row for each figure.

    Args:
        files: The files for the figures.
        stage: Name of the stage; rows of other stages stay as they are.
        resumed_step: Step from which training resumes. Later rows of this stage are dropped, since the saved weights
            precede them.
        active: Whether to write. Of several processes, only the first one writes.

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
        """Append the figures of one step. Names have the form `train/loss/l1` or `validation/ssim`."""
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
    """Read the rows of a journal; an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
