"""Show the progress of training: a live line in a terminal, and a line for each validation."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from voxlex import progress
from voxlex.commands.terminal import progress_bar
from voxlex.stores.addresses import shown


class TerminalDisplay:
    """Shows the progress of training on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(shown(text), markup=False)

    def phase(self, name: str) -> AbstractContextManager[progress.Progress]:
        """Draw a bar in a terminal."""
        return progress_bar(name)

    @contextmanager
    def stage(self, name: str) -> Iterator["TerminalStage"]:
        """Draw the live line of a stage while it trains."""
        with Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        ) as live:
            yield TerminalStage(name, console=self._console, live=live)


class TerminalStage:
    """Shows one stage."""

    def __init__(self, name: str, *, console: Console, live: Progress) -> None:
        self._name = name
        self._console = console
        self._live = live
        self._task = live.add_task(name, total=1.0, figures="")

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Update the live line."""
        left_s = elapsed_s * (1 - progress) / progress if progress > 0 else 0.0
        text = "  ".join([*map(_figure, figures.items()), f"{left_s // 60:.0f}:{left_s % 60:02.0f} left"])
        self._live.update(self._task, completed=progress, figures=text)

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Print the figures of a validation, without those of a group such as `gauges/…`, and its warning."""
        text = "  ".join(_figure((name, value)) for name, value in figures.items() if "/" not in name)
        self._console.print(f"{self._name} step {step}: held out  {text}")
        if alarm:
            self._console.print(f"[bold yellow]warning:[/] {alarm}")

    def kept(self, step: int) -> None:
        """Print that the weights of an earlier step are kept, because they were the best."""
        self._console.print(f"{self._name}: kept the weights of step {step}, the best on held-out rows")


def _figure(item: tuple[str, float]) -> str:
    name, value = item
    return f"{name.rpartition('/')[2]} {value:.4g}"
