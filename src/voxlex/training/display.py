"""What training tells while it goes on; somebody may listen, and nobody has to."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from voxlex.progress import Progress, silent


@runtime_checkable
class StageDisplay(Protocol):
    """Is told how one stage is doing."""

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Take the figures of the last step, the share of the budget that is spent, and the seconds it took."""

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Take the figures of a validation, and its warning if there is one."""

    def kept(self, step: int) -> None:
        """Learn that the weights of that step are kept, not the last ones."""


@runtime_checkable
class Display(Protocol):
    """Is told how a training is doing."""

    def note(self, text: str) -> None:
        """Take a line that a person should read."""

    def phase(self, name: str) -> AbstractContextManager[Progress]:
        """Return the progress of work around the stages, such as "preparing"."""

    def stage(self, name: str) -> AbstractContextManager[StageDisplay]:
        """Return the display of a stage, for as long as it takes."""


class Silence:
    """A display that shows nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def phase(self, name: str) -> AbstractContextManager[Progress]:
        """Tell nobody."""
        return silent(name)

    def stage(self, name: str) -> AbstractContextManager[StageDisplay]:
        """Return the silent display of a stage."""
        return nullcontext(self)

    def show(self, figures: Mapping[str, float], *, progress: float, elapsed_s: float) -> None:
        """Show nothing."""

    def validated(self, figures: Mapping[str, float], *, step: int, alarm: str | None) -> None:
        """Show nothing."""

    def kept(self, step: int) -> None:
        """Show nothing."""


SILENCE = Silence()
