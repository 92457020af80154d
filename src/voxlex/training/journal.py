"""Record the figures of a run in a CSV file, and in TensorBoard's format for curves."""

import csv
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from voxlex.errors import DataError
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

    If the disk is full for a while, training goes on: the figures wait in memory, and a note says so once.

    Args:
        files: The files for the figures.
        stage: Name of the stage; rows of other stages stay as they are.
        resumed_step: Step from which training resumes. Later rows of this stage are dropped, since the saved weights
            precede them.
        active: Whether to write. Of several processes, only the first one writes.
        note: Function that shows a line about figures that cannot be written.

    Raises:
        DataError: If the files cannot be begun. What an earlier call wrote is then unchanged.
    """

    def __init__(
        self,
        files: JournalFiles,
        *,
        stage: str,
        resumed_step: int = 0,
        active: bool = True,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._active = active
        if not active:
            return
        path = files.journal_file
        kept = [row for row in read_journal(path) if row["stage"] != stage or int(row["step"]) <= resumed_step]
        with atomic_file(path) as building, building.open("w", newline="", encoding="utf-8") as file:
            begun = csv.DictWriter(file, COLUMNS)
            begun.writeheader()
            begun.writerows(kept)
        self._rows = _Growing(path, note=note)
        self._stage = stage
        self._curves = _Growing(_new_events_file(files.curves_folder), note=note)
        self._curves.append(_record(Event(wall_time=time.time(), file_version="brain.Event:2")))
        if resumed_step:  # TensorBoard then leaves out later steps of earlier files
            start = SessionLog(status=SessionLog.START)
            self._curves.append(_record(Event(wall_time=time.time(), step=resumed_step + 1, session_log=start)))

    def write(self, figures: Mapping[str, float], *, step: int, elapsed_s: float) -> None:
        """Append the figures of one step. Names have the form `train/loss/l1` or `validation/ssim`."""
        if not self._active:
            return
        rows = [(self._stage, step, f"{elapsed_s:.2f}", name, f"{value:.6g}") for name, value in figures.items()]
        self._rows.append(_as_csv(rows))
        values = [Summary.Value(tag=f"{self._stage}/{name}", simple_value=value) for name, value in figures.items()]
        self._curves.append(_record(Event(wall_time=time.time(), step=step, summary=Summary(value=values))))

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            self._rows.append(b"")  # the last try for what waits
            self._curves.append(b"")


def read_journal(path: Path) -> list[dict[str, str]]:
    """Read the rows of a journal, without those that are cut short; an empty list if the file does not exist."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    return [row for row in csv.DictReader(io.StringIO(text, newline="")) if _is_whole(row)]


class _Growing:
    """A file to which bytes are appended, all of them or none; those that find no room wait for the next call.

    Args:
        path: The file.
        note: Function that shows a line when bytes begin to wait.
    """

    def __init__(self, path: Path, *, note: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._note = note
        self._size = path.stat().st_size if path.exists() else 0
        self._waiting = b""
        self._troubled = False

    def append(self, content: bytes) -> None:
        self._waiting += content
        if not self._waiting:
            return
        try:
            with self._path.open("ab") as file:
                file.write(self._waiting)
        except OSError as cause:
            with suppress(OSError):
                os.truncate(self._path, self._size)
            if not self._troubled and self._note is not None:
                self._note(f"{self._path}: cannot be written: {cause.strerror or cause}; training goes on without it")
            self._troubled = True
            return
        self._size += len(self._waiting)
        self._waiting, self._troubled = b"", False


def _as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _is_whole(row: Mapping[str, str | None]) -> bool:
    try:
        return set(row) == set(COLUMNS) and int(row["step"] or "") >= 0 and float(row["value"] or "") is not None
    except (TypeError, ValueError):
        return False


def _new_events_file(folder: Path) -> Path:
    """Return a new name for curves. Names that TensorBoard's own writer gives contain that of the machine."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))
    except OSError as cause:
        raise DataError(f"{folder}: cannot be written: {cause.strerror or cause}") from cause
    return folder / f"events.out.tfevents.{int(time.time()):010d}.{number:04d}"  # read in the order of names


def _record(event: Event) -> bytes:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()
