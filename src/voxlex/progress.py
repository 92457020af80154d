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
