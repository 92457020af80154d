"""Protocols for displays that show the progress of training, and a silent default."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from voxlex.progress import Progress, silent


@runtime_checkable
class StageDisplay(Protocol):
    """Shows the progress of one stage."""

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Show the figures of the last step, the share of the budget that is spent, and the elapsed seconds."""

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Show the figures of a validation, and its warning if there is one."""

    def kept(self, step: int) -> None:
        """Show that the weights of this step are kept rather than the last ones."""


@runtime_checkable
class Display(Protocol):
    """Shows the progress of training."""

    def note(self, text: str) -> None:
        """Show a line of text."""

    def phase(self, name: str) -> AbstractContextManager[Progress]:
        """Return a context with the progress of other work, such as "preparing"."""

    def stage(self, name: str) -> AbstractContextManager[StageDisplay]:
        """Return a context with the display of a stage."""


class Silence:
    """A display that shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def phase(self, name: str) -> AbstractContextManager[Progress]:
        """Show nothing."""
        return silent(name)

    def stage(self, name: str) -> AbstractContextManager[StageDisplay]:
        """Return a silent display of the stage."""
        return nullcontext(self)

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Show nothing."""

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Show nothing."""

    def kept(self, step: int) -> None:
        """Show nothing."""


SILENCE = Silence()
