"""The errors a caller may want to catch; each message names the thing, what was expected and what came."""


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
