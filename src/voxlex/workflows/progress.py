"""Progress bars on standard error for work whose length is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that draws a bar in a terminal, and nothing in a log."""
    with _bar(description, MofNCompleteColumn()) as report:
        yield report


@contextmanager
def byte_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield the same for a download, in bytes and bytes a second."""
    with _bar(description, DownloadColumn(), TransferSpeedColumn()) as report:
        yield report


@contextmanager
def _bar(description: str, *measures: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), *measures, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
