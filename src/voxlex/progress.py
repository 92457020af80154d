"""How work tells how far it is, without knowing who listens."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int, int], None]
"""Called with the work done and the work there is."""

Phases = Callable[[str], AbstractContextManager[Progress]]
"""Called with what is about to be done, such as "decoding"; gives the progress of it for as long as it takes."""


@contextmanager
def silent(phase: str) -> Iterator[Progress]:
    """Tell nobody; what a workflow does unless it is given other `Phases`."""
    yield lambda done, total: None
