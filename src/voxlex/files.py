"""Files and folders that appear whole or not at all; whatever is replaced, moved or removed passes through here.

What is built lies beside its place under a hidden name, `.NAME.XXXXXXXX.tmp`. A process that is killed leaves it there,
and the next one that writes into the folder removes it.
"""

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import platformdirs

from voxlex.errors import DataError
from voxlex.locks import Held, claimed, is_abandoned, lock
from voxlex.names import resolved

_BUILDING = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)
_WORKPLACE = "voxlex"  # between the dots of a hidden folder that no name belongs to
_LONGEST_NAME = 255  # bytes, on nearly all file systems
_OLD_S = 24 * 3600.0  # without locks, what nobody has changed for so long is taken for left over

_swept: set[Path] = set()
_sweeping = Lock()


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return the folder of what can be made or fetched again: `cache`, else VOXLEX_CACHE, else that of the user."""
    return Path(cache or os.environ.get("VOXLEX_CACHE") or platformdirs.user_cache_path("voxlex"))


@contextmanager
def atomic_file(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary file beside `path`, and move it to `path` when the block succeeds.

    An existing file is replaced. If the block fails, an existing file does not change, and no other file is left
    behind.

    Args:
        path: The file to write. Missing parent folders are created.
        durable: Whether the file must be whole even after a power cut. This waits for the disk, which takes long for
            thousands of results; those can be made again.

    Raises:
        DataError: If the file cannot be written (no space, no permission, ...). The message names `path` and the cause.
    """
    path = Path(path)
    building = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        building.touch()
        with claimed(building):
            yield building
            if durable:
                _sync(building)
            building.replace(path)
        if durable:
            _sync_folder(path.parent)
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
def atomic_folder(path: str | Path, *, last: str) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, and rename it to `path` when the block succeeds.

    Its files are on the disk before it is renamed, so that it is whole even after a power cut. If `path` is a folder
    of other folders, the files are moved into it one by one.

    Args:
        path: The folder to make. It must not exist yet, except as a folder without files, or a link to one.
        last: The file by which the folder is known. It is moved last.

    Raises:
        DataError: If `path` holds files, another process is making it, or it cannot be written. The message names
            `path` and the cause.
    """
    path = Path(path)
    place = resolved(path)  # a folder cannot take the place of a link
    building = _sibling(place)
    try:
        with made(place.parent), locked(_hidden(place, "lock")):
            if path.exists() and (not path.is_dir() or not all(inner.is_dir() for inner in path.iterdir())):
                raise DataError(f"{path}: exists already; remove it, or choose another place")
            _sweep_once(place.parent)
            building.mkdir()
            try:
                with claimed(building):
                    yield building
                    _sync_tree(building)
                    if place.is_dir() and any(place.iterdir()):
                        _move_into(place, building, last=last)
                    else:
                        building.replace(place)
                _sync_folder(place.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    except Held as cause:
        raise DataError(
            f"{path}: {cause.holder} is making this folder; wait for it, or choose another place"
        ) from cause
    except OSError as cause:
        raise DataError(f"{path}: cannot be written: {_reason(cause)}") from cause


def _move_into(folder: Path, building: Path, *, last: str) -> None:
    """Move files into a folder, all or none."""
    moved: list[Path] = []
    try:
        for file in sorted(building.iterdir(), key=lambda file: file.name == last):
            if is_there(folder / file.name):
                raise DataError(f"{folder / file.name}: exists already; remove it, or choose another place")
            moved.append(file.replace(folder / file.name))
    except BaseException:
        for file in moved:
            remove(file)
        raise
    _sync_folder(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs, and remove its file in the end; see `locks.lock`.

    Raises:
        Held: If another process, or another thread of this one, holds the lock.
        OSError: If the file cannot be made.
    """
    with lock(path):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps what is open; an unlocked file is no obstacle
                path.unlink()


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it. At the end, those that had to be made and are still empty are removed.

    Raises:
        OSError: It cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not is_there(place)]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for place in missing:
                place.rmdir()


@contextmanager
def workplace(parent: Path | None = None) -> Iterator[Path]:
    """Make a hidden folder of a name that nobody has, in `parent` or where the system keeps such; it goes at the end.

    Raises:
        OSError: It cannot be made.
    """
    place = Path(tempfile.gettempdir() if parent is None else parent)
    _sweep_once(place, name=_WORKPLACE)  # others keep their things there, too
    folder = _sibling(place / _WORKPLACE)
    folder.mkdir(mode=0o700)
    try:
        with claimed(folder):
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


def remove_empty(folder: Path) -> None:
    """Remove the folders in a folder in which there are no files, and the folder itself if none are left."""
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(place).rmdir()


def remove_among(folder: Path, patterns: Collection[str]) -> None:
    """Remove the files of a folder whose names fit one of some patterns, and the folder if nothing else is in it.

    Of a folder that is a link, only the link goes.

    Raises:
        DataError: A file cannot be removed.
    """
    if folder.is_symlink():
        remove(folder)
        return
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        if path.is_symlink() or path.is_file():
            remove(path)
    with suppress(OSError):  # what somebody else has put into it stays, and so does the folder
        folder.rmdir()


def move(path: Path, place: Path, *, durable: bool = True) -> None:
    """Rename a file or a folder; a file that is there is replaced, and a folder only if it is empty.

    Args:
        path: What to rename.
        place: Its new name.
        durable: Whether what is moved must be whole even after a power cut; see `atomic_file`.

    Raises:
        OSError: It cannot be done.
    """
    if durable:
        _sync_tree(path)
    path.replace(place)
    if durable:
        _sync_folder(place.parent)
        if path.parent != place.parent:
            _sync_folder(path.parent)


def is_there(path: Path) -> bool:
    """Return whether something has this name, even a link that leads nowhere."""
    return os.path.lexists(path)


def is_building(path: Path) -> bool:
    """Return whether something has a name that is given to what is being built."""
    return bool(_BUILDING.fullmatch(path.name))


def sweep(folder: Path, *, name: str | None = None) -> None:
    """Remove what processes that were killed have left in a folder: what they were building.

    What a living process builds stays. Where the file system has no locks to tell, what was changed within a day stays.

    Args:
        folder: The folder.
        name: What was to be built there; by default all that has a name of this kind.
    """
    try:
        found = [path for path in folder.iterdir() if is_building(path)]
    except OSError:
        return
    for path in found:
        if name is not None and path.name.split(".")[1:-2] != [name]:
            continue
        abandoned = not path.is_symlink() and is_abandoned(path)
        if abandoned or (abandoned is None and _is_old(path)):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sweep_once(folder: Path, *, name: str | None = None) -> None:
    """Sweep a folder before the first file is written into it, and not again for each of thousands."""
    with _sweeping:  # another thread that is about to write here waits, for its file would be swept, too
        if folder not in _swept:
            _swept.add(folder)
            sweep(folder, name=name)


def _is_old(path: Path) -> bool:
    try:
        newest = max(place.stat().st_mtime for place in (path, *(path.iterdir() if path.is_dir() else ())))
    except OSError:
        return False
    return time.time() - newest > _OLD_S


def _sibling(path: Path) -> Path:
    # A hidden file, so that indexing ignores it, on the same file system, so that renaming is atomic.
    return _hidden(path, f"{secrets.token_hex(4)}.tmp")


def _hidden(path: Path, ending: str) -> Path:
    """Return a hidden name beside a path, which is not too long even if the path's own name is as long as can be."""
    room = _LONGEST_NAME - len(ending) - 2
    return path.with_name(f".{os.fsdecode(os.fsencode(path.name)[:room])}.{ending}")


def _sync_tree(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        _sync(path)
        return
    for inner in path.iterdir():
        _sync_tree(inner)
    _sync_folder(path)


def _sync(path: Path) -> None:
    """Wait until the content of a file is on the disk, so that it cannot be renamed without it."""
    if path.is_symlink() or not path.is_file():
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, on systems that let a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(cause: OSError) -> str:
    return cause.strerror or str(cause)
