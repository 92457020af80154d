"""Progress for a person: a live line in a terminal, a line at each validation in a log."""

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


class Display:
    """Shows how a stage is doing, on standard error.

    Args:
        stage: Its name.
        active: Show anything at all; of several processes only the first does.
    """

    def __init__(self, stage: str, *, active: bool = True) -> None:
        self._stage = stage
        self._console = Console(stderr=True, quiet=not active)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(stage, total=1.0, figures="")

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Update the live line."""
        left_s = elapsed_s * (1 - progress) / progress if progress > 0 else 0.0
        text = "  ".join([*map(_figure, figures.items()), f"{left_s // 60:.0f}:{left_s % 60:02.0f} left"])
        self._progress.update(self._task, completed=progress, figures=text)

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Print the figures of a validation, and its warning if there is one."""
        text = "  ".join(map(_figure, figures.items()))
        self._console.print(f"{self._stage} step {step}: held out  {text}", highlight=False, soft_wrap=True)
        if alarm:
            self._console.print(f"[bold yellow]warning:[/] {alarm}", highlight=False, soft_wrap=True)

    def kept(self, step: int) -> None:
        """Print that the last weights were not the best."""
        text = f"{self._stage}: kept the weights of step {step}, the best on held-out rows"
        self._console.print(text, highlight=False, soft_wrap=True)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def _figure(item: tuple[str, float]) -> str:
    name, value = item
    return f"{name.rpartition('/')[2]} {value:.4g}"
