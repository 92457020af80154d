"""What commands print to standard error: progress bars, and the scans that were left out.

Bars are drawn only in a terminal, so that they do not appear in log files.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from voxlex.data.dataset import PreparedDataset
from voxlex.progress import Progress
from voxlex.workflows.opening import data_notes, skipped_lines


@contextmanager
def progress_bar(phase: str) -> Iterator[Progress]:
    """Show how many items of a phase are done."""
    with _bar(phase, MofNCompleteColumn()) as progress:
        yield progress


@contextmanager
def byte_bar(phase: str) -> Iterator[Progress]:
    """Show how much of a download is done, in bytes and bytes per second."""
    with _bar(phase, DownloadColumn(), TransferSpeedColumn()) as progress:
        yield progress


def show_skipped(dataset: PreparedDataset) -> None:
    """Print which scans were left out of a data set, and why."""
    for line in skipped_lines(dataset):
        print(line, file=sys.stderr)


def show_notes(dataset: PreparedDataset) -> None:
    """Print what was guessed about a data set and what is unknown."""
    for line in data_notes(dataset):
        print(line, file=sys.stderr)


@contextmanager
def _bar(phase: str, *measures: ProgressColumn) -> Iterator[Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), *measures, TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(phase, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
