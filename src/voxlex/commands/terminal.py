"""What commands print to standard error: progress bars, and the scans that were left out.

Bars are drawn only in a terminal, so that they do not appear in log files.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
from voxlex.names import resolved
from voxlex.progress import Progress
from voxlex.stores.addresses import shown
from voxlex.workflows.opening import skipped_lines


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
    show_notes(skipped_lines(dataset))


def show_notes(notes: Iterable[str]) -> None:
    """Print sentences to standard error, one a line."""
    for note in notes:
        print(shown(note), file=sys.stderr)


def warn_if_inside(out: Path, source: str) -> None:
    """Print a warning if results go into the folder in which scans are searched."""
    if Path(source).is_dir() and resolved(out).is_relative_to(resolved(Path(source))):
        show_notes(
            [f"warning: {out} lies in the source {source}; voxlex passes over its own results, other programs do not"]
        )


@contextmanager
def _bar(phase: str, *measures: ProgressColumn) -> Iterator[Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), *measures, TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(phase, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
