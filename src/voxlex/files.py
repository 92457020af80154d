"""Files and folders that appear whole or not at all; whatever is replaced, moved or removed passes through here."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from voxlex.errors import DataError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it to `path` when the block succeeds.

    An existing file is replaced. If the block fails, an existing file does not change, and no other file is left
    behind.

    Args:
        path: The file to write. Missing parent folders are created.

    Raises:
        DataError: If the file cannot be written (no space, no permission, ...). The message names `path` and the cause.
    """
    path = Path(path)
    building = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield building
        building.replace(path)
    except OSError as cause:
        raise DataError(f"{path}: cannot be written: {_reason(cause)}") from cause
    finally:
        with suppress(OSError):  # usually it has been moved; otherwise, the first error is the one to report
            building.unlink()


def write_json(path: str | Path, content: Any) -> None:
    """Write plain values as a JSON file for people to read, too.

    Raises:
        DataError: If the file cannot be written.
    """
    with atomic_file(path) as building:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        building.write_text(text, encoding="utf-8", errors="backslashreplace")  # what is not Unicode is escaped as JSON


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, and rename it to `path` when the block succeeds.

    Args:
        path: The folder to make; it must not exist yet, except as an empty folder, or a link to one.

    Raises:
        DataError: If `path` exists and is not empty, or cannot be written. The message names `path` and the cause.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: exists already; remove it, or choose another place")
    place = path.resolve()  # a folder cannot take the place of a link
    building = _sibling(place)
    try:
        building.mkdir(parents=True)
        yield building
        building.replace(place)
    except OSError as cause:
        raise DataError(f"{path}: cannot be written: {_reason(cause)}") from cause
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def workplace(parent: Path | None = None) -> Iterator[Path]:
    """Make a hidden folder of a name that nobody has, in `parent` or where the system keeps such; it goes at the end.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Make a folder of a fixed name in a hidden one, without what a process that was killed has left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file that the program has made, or a link; nothing happens if it is not there.

    Raises:
        DataError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise DataError(f"{path}: cannot be removed: {_reason(cause)}") from cause


def remove_among(folder: Path, patterns: Collection[str]) -> None:
    """Remove the files of a folder whose names fit one of some patterns, and the folder if nothing else is in it.

    Of a folder that is a link, only the link goes.

    Raises:
        DataError: A file cannot be removed.
    """
    if folder.is_symlink():
        remove(folder)
        return
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_symlink() or path.is_file():
                remove(path)
    with suppress(OSError):  # what somebody else has put into it stays, and so does the folder
        folder.rmdir()


def move(path: Path, place: Path) -> None:
    """Rename a file or a folder; a file that is there is replaced, and a folder only if it is empty.

    Raises:
        OSError: It cannot be done.
    """
    path.replace(place)


def is_there(path: Path) -> bool:
    """Return whether something has this name, even a link that leads nowhere."""
    return os.path.lexists(path)


def _sibling(path: Path) -> Path:
    # A hidden file, so that indexing ignores it, on the same file system, so that renaming is atomic. Its name does not
    # contain that of `path`, which may be as long as a name can be.
    return path.with_name(f".voxlex-{secrets.token_hex(6)}.tmp")


def _reason(cause: OSError) -> str:
    return cause.strerror or str(cause)
