"""Locks that the operating system releases when their process ends, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FAR = 2**30  # Windows locks bytes, and nobody can read locked ones: so one that is not there


class Held(Exception):
    """Another process holds a lock.

    Attributes:
        holder: The other process in words, with its id if that is known.
    """

    def __init__(self, number: str) -> None:
        self.holder = f"another process ({number})" if number.isdecimal() else "another process"
        super().__init__(self.holder)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs. Its file, which stays, has the id of this process in it.

    A file that a process left is not locked, and is taken over. On a file system that has no locks, nothing is held.

    Args:
        path: The file of the lock; its folder exists. Who holds the lock may remove it.

    Raises:
        Held: If another process, or another thread of this one, holds the lock.
        OSError: If the file cannot be made.
    """
    descriptor = _taken(path)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Lock a file or a folder that is being built itself, so that `is_abandoned` tells it from what a kill has left."""
    descriptor = _opened(path)
    try:
        if descriptor is not None:
            with suppress(OSError):
                _try(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_abandoned(path: Path) -> bool | None:
    """Return whether the process that claimed a file or a folder has ended; None where locks cannot tell."""
    try:
        descriptor = _opened(path)
        if descriptor is None:
            return None
        try:
            return _try(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _taken(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            free = _try(descriptor)
        except OSError:  # the file system has no locks
            return descriptor
        if not free:
            number = os.read(descriptor, 32).decode("ascii", errors="replace").strip()
            os.close(descriptor)
            raise Held(number)
        if _is_still(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor
        os.close(descriptor)  # who held it has removed it since it was opened


def _opened(path: Path) -> int | None:
    """Open what is to be locked itself; on Windows, nothing that is open could be renamed."""
    if fcntl is None:
        return None
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _try(descriptor: int) -> bool:
    """Take the lock of an open file unless somebody has it.

    Raises:
        OSError: If the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
