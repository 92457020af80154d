"""The errors a caller may want to catch; each message names the thing, what was expected and what came."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class VoxlexError(Exception):
    """Base of every error that voxlex raises on purpose; the command line prints it as one line."""


class DataError(VoxlexError):
    """A source, an image or a table that cannot be used as it is."""


class ConfigError(VoxlexError):
    """A recipe or an option that is misspelt, of the wrong type or out of range."""


class RunError(VoxlexError):
    """A run folder that is missing, damaged, in the way, or from an incompatible version."""


class CodesError(VoxlexError, ValueError):
    """Codes out of range, of the wrong grid, or made by another vocabulary."""


class TrainingError(VoxlexError):
    """Training that cannot go on, such as a loss that is no longer a number."""


class Interrupted(VoxlexError):
    """Training was asked to stop (Ctrl-C or SIGTERM) and has saved its state."""


class ToldElsewhere(VoxlexError):
    """Training ends in this process because it ends in all of them; another process says why."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin the message of an error raised within with the file that it is about, unless it begins so already."""
    try:
        yield
    except VoxlexError as cause:
        message = str(cause).removeprefix(f"{path}: ")
        raise type(cause)(f"{path}: {message}") from cause
