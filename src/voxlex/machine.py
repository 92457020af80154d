"""Tell trouble of the machine, which passes, from a file that is bad and stays so."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NAMES = (
    *("EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT", "EAGAIN", "EINTR", "EBUSY", "EIO", "ENODEV", "ENOLCK"),
    *("ESTALE", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO"),
    *("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ENOTCONN", "ESHUTDOWN", "ECOMM", "EKEYEXPIRED"),
)
_OF_THE_MACHINE = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
_FORBIDDEN = {errno.EACCES, errno.EPERM}


def trouble(error: BaseException, *, path: Path | None) -> str | None:
    """Return what is wrong with the machine if an error comes from it; None if the file is to blame.

    Memory, the number of open files, disks and networks are the machine's. A permission is the file's, unless it is
    there again.

    Args:
        error: The error, with the errors that caused it.
        path: The file or folder that was read; None if there was none.
    """
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return "the memory does not suffice"
        if isinstance(cause, OSError) and _is_of_the_machine(cause, path):
            return cause.strerror or str(cause)
    if path is None:
        return None
    try:  # libraries that are not of Python do not tell why they could not open a file
        _touch(path)
    except OSError as cause:
        if cause.errno in _OF_THE_MACHINE:
            return cause.strerror or str(cause)
    return None


def _is_of_the_machine(cause: OSError, path: Path | None) -> bool:
    if cause.errno in _FORBIDDEN:
        forbidden = cause.filename or path
        return forbidden is not None and os.access(forbidden, os.R_OK)
    return cause.errno in _OF_THE_MACHINE


def _touch(path: Path) -> None:
    if path.is_dir():
        with os.scandir(path):
            return
    if path.is_file():
        with path.open("rb") as file:
            file.read(1)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
