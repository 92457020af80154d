"""The errors that voxlex raises. Each message names the problem, what was expected, and what was given."""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 3, 80, 80


class VoxlexError(Exception):
    """Base class of the errors of voxlex. The command line prints such an error as one line."""


class DataError(VoxlexError):
    """A source, an image or a table that cannot be used as it is."""


class LeftOutError(DataError):
    """A sound file or folder without what was asked for, such as a report among images; it can be passed over."""


class ConfigError(VoxlexError):
    """A recipe or an option that is misspelled, has the wrong type or is out of range."""


class RunError(VoxlexError):
    """A run folder that is missing, damaged, must not be overwritten, or comes from an incompatible version."""


class CodesError(VoxlexError, ValueError):
    """Codes that are out of range, have the wrong shape, or come from another vocabulary."""


class ArchiveError(VoxlexError):
    """An archive, or a record of one, that is damaged, comes from a newer version, or lacks what opens it."""


class TrainingError(VoxlexError):
    """Training that cannot continue, for example because the loss is not a finite number."""


class ClusterError(VoxlexError):
    """A cluster that cannot be reached or used, or that has lost too many workers."""


class Interrupted(VoxlexError):
    """Training was asked to stop by a signal (Ctrl-C, SIGTERM or SIGHUP) and has saved its state.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, message: str, *, number: int = 2) -> None:
        self.number = number
        super().__init__(message)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP has come where nothing can be saved; as after Ctrl-C, what was begun is cleared away.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class ToldElsewhere(VoxlexError):
    """Training ends in this process because it ends in all processes; another process reports why.

    Attributes:
        status: The exit status of all processes.
    """

    def __init__(self, message: str, *, status: int = 1) -> None:
        self.status = status
        super().__init__(message)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Prepend the name of a file or a scan to the message of a DataError, unless the message begins with it already."""
    try:
        yield
    except VoxlexError as cause:
        message = str(cause).removeprefix(f"{path}: ")
        raise type(cause)(f"{path}: {message}") from cause


def brief(value: object) -> str:
    """Return the repr of a value that a file contains, cut where it is long or nested."""
    return _BRIEF.repr(value)
