"""Callbacks that report the progress of work."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int, int], None]
"""Called with the work done and the total work."""

Phases = Callable[[str], AbstractContextManager[Progress]]
"""Called with the name of a phase, such as "decoding". Returns a context that gives the progress of the phase."""


@contextmanager
def silent(phase: str) -> Iterator[Progress]:
    """Ignore the progress. This is the default of workflows."""
    yield lambda done, total: None


def part_of(progress: Progress | None, start: int, size: int, count: int) -> Progress | None:
    """Convert the progress of `size` of `count` things, which begin at `start`, to the progress of all of them."""
    if progress is None:
        return None
    return lambda done, total: progress(start * total + size * done, count * total)
