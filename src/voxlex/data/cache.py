"""The cache of prepared data sets: one folder for each, which its owner alone can read."""

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voxlex.data.dataset import FILES, FORMAT_VERSION, PreparedDataset, UnreadableError, is_prepared
from voxlex.data.stored import read_record
from voxlex.errors import DataError
from voxlex.files import cache_folder, is_there, move, remove_among, workplace
from voxlex.names import printable
from voxlex.outputs import is_prepared_set

_ENTRY = re.compile(r"\d+-[0-9a-f]{32}|.+-\d+-[0-9a-f]{16}", re.DOTALL)  # now, and in version 0.1


@dataclass(frozen=True)
class Entry:
    """A data set in the cache.

    Attributes:
        folder: Its folder.
        name: Short name of its source.
        size: Bytes on the disk.
        used: When it was used last, in seconds since 1970.
    """

    folder: Path
    name: str
    size: int
    used: float


def cached(
    cache: Path, state: Callable[[], list[object]], *, name: str, size: int, prepare: Callable[[Path], object]
) -> PreparedDataset:
    """Return a data set from the cache, or prepare it and keep it there.

    The name of its folder is a hash, which tells nothing of the source.

    Args:
        cache: The folder of the cache.
        state: Function that returns everything that the data set depends on, in types that JSON can store.
        name: Short name of the source, for messages.
        size: Side of the images, which stands in the name of the folder.
        prepare: Function that makes the data set in a new folder.

    Raises:
        DataError: If the data set cannot be prepared, what it depends on changes meanwhile, or the cache cannot be read
            or written.
    """
    folder = place_of(state(), cache=cache, size=size)
    if folder.exists():
        try:
            dataset = PreparedDataset.open(folder)
        except UnreadableError:  # it may be intact
            raise
        except DataError:  # damaged, so prepare it again
            remove_among(folder, FILES)
        else:
            with suppress(OSError):  # when it was used last
                os.utime(folder)
            return dataset
    with _workplace(cache) as aside:
        prepare(aside / folder.name)
        if place_of(state(), cache=cache, size=size) != folder:
            raise DataError(f"{name}: the scans have changed while they were read; run the command again")
        _move(aside / folder.name, folder)
    return PreparedDataset.open(folder)


def place_of(state: list[object], *, cache: Path, size: int) -> Path:
    """Return the folder of a data set in the cache, there or not; for the arguments see `cached`."""
    text = json.dumps([FORMAT_VERSION, *state], sort_keys=True)
    return cache / f"{size}-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def entries(cache: str | Path | None = None) -> list[Entry]:
    """Return the data sets in the cache, the one that was used last first.

    Raises:
        DataError: If the cache cannot be listed.
    """
    found = []
    for folder in _folders(cache_folder(cache)):
        if _ENTRY.fullmatch(folder.name) and is_prepared_set(folder):
            used, size = folder.stat().st_mtime, _size(folder)
            found.append(Entry(folder=folder, name=_name(folder), size=size, used=used))
    return sorted(found, key=lambda entry: -entry.used)


def clean(cache: str | Path | None = None, *, older_than_days: float = 0.0) -> list[Entry]:
    """Remove data sets from the cache. Other files and folders in it stay, also prepared sets of other names.

    Args:
        cache: See `cache_folder`.
        older_than_days: Remove only data sets that have not been used for so many days.

    Returns:
        What was removed.

    Raises:
        DataError: If something cannot be removed.
    """
    now = time.time()
    removed = [entry for entry in entries(cache) if now - entry.used >= older_than_days * 24 * 3600]
    for entry in removed:
        remove_among(entry.folder, FILES)
    return removed


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """Create a hidden folder in the cache, in which a data set is prepared before it is moved into place."""
    with ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)  # scans are private
            aside = stack.enter_context(workplace(cache))
        except OSError as cause:
            message = f"{cache}: the cache cannot be written: {cause.strerror}; set VOXLEX_CACHE to another folder"
            raise DataError(message) from cause
        yield aside


def _move(made: Path, folder: Path) -> None:
    try:
        made.chmod(stat.S_IMODE(folder.parent.stat().st_mode))  # who may read the cache may read what is in it
        move(made, folder)
    except OSError as cause:
        # Usually another process has written the same data set in the meantime. Then use that one.
        if not is_prepared(folder):
            raise DataError(f"{folder}: cannot be written: {cause.strerror}") from cause


def _folders(cache: Path) -> list[Path]:
    if not is_there(cache):
        return []
    try:
        return sorted(path for path in cache.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as cause:
        raise DataError(f"{cache}: the cache cannot be listed: {cause.strerror}") from cause


def _name(folder: Path) -> str:
    try:
        return printable(read_record(folder)["name"])
    except (DataError, OSError, ValueError):
        return "(damaged)"


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in FILES if (folder / name).is_file())
