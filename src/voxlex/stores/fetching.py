"""Copies of what is on stores and on the web, in the cache of this machine.

A copy lies where its address says: `stores/s3/bucket/scans/a.png`. It is whole or not there, and is used again as long
as the object is the same.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from voxlex.errors import DataError
from voxlex.files import atomic_file, cache_folder, remove, remove_empty, write_json
from voxlex.locks import Held, lock
from voxlex.names import printable, resolved
from voxlex.progress import Phases, silent
from voxlex.rows import in_order
from voxlex.stores.addresses import WEB, address_of, checked, is_address, masked, remember, scheme_of, spelled
from voxlex.stores.listing import Found, Stored, find
from voxlex.stores.opening import THREADS, UnreachableError, explained, meter

FOLDER = "stores"
"""Folder of the copies in the cache."""

_RECORDS = ".records"
_LOCK = ".lock"
_ATTEMPTS = 3
_LOOK_AGAIN_S = 0.2


def at_hand(
    place: str | Path, *, phases: Phases = silent, note: Callable[[str], None] = lambda text: None
) -> str | Path:
    """Return where a place is on this machine: itself, or a copy of what is at an address.

    Args:
        place: A path, a name or an address.
        phases: Receives the progress of the download, in bytes.
        note: Receives a sentence if an earlier copy is used since the store cannot be reached, or another process
            downloads.

    Raises:
        ConfigError: If a package for this kind of store is not installed.
        DataError: If there is nothing at the address, it cannot be read, or the copy cannot be written.
    """
    if not is_address(place):
        return place
    return copies([spelled(place)], name=masked(spelled(place)), phases=phases, note=note)[0]


def copies(
    addresses: Sequence[str], *, name: str, phases: Phases = silent, note: Callable[[str], None] = lambda text: None
) -> list[Path]:
    """Copy what is at some addresses, and return where the copies are; see `at_hand`.

    Args:
        addresses: Addresses of objects and folders.
        name: What they are together, for messages.
        phases: See `at_hand`.
        note: See `at_hand`.
    """
    root = resolved(cache_folder()) / FOLDER
    there = {text: place_of_file(text) for text in addresses if scheme_of(text) == "file"}
    wanted = list(dict.fromkeys(text for text in addresses if text not in there))
    if not wanted:
        return [there[text] for text in addresses]
    record = root / _RECORDS / f"{_digest(wanted)}.json"
    with _alone(root, note):
        try:
            found = list(map(find, wanted) if len(wanted) == 1 else in_order(find, wanted, threads=THREADS, ahead=100))
        except UnreachableError as cause:
            places = _of_record(record, root, cause)
            os.utime(record)  # when it was used last
            note(f"{name}: the store cannot be reached; the copy in the cache is used")
        else:
            bring(found, root, phases=phases)
            places = [one.place for one in found]
            _write_record(record, name, places, sorted({one for each in found for one in each.objects}, key=_by_name))
    for text, place in zip(wanted, places, strict=True):
        there[text] = root / place
        _remember(checked(text), place, root)
    return [there[text] for text in addresses]


def _digest(addresses: Sequence[str]) -> str:
    """Return a hash of addresses, without names and passwords, which could be guessed from it."""
    plain = [re.sub(r"^([^/]*//)[^/?#]*@", r"\1", address) for address in addresses]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=16).hexdigest()


def _by_name(one: Stored) -> str:
    return one.name


def is_copy(place: Path) -> bool:
    """Return whether a place is a copy of this process, or in one, in which nothing may be changed."""
    return address_of(resolved(place)) is not None


def place_of_file(address: str) -> Path:
    """Return the place that an address such as "file:///data/scans" names on this machine."""
    return Path(url2pathname(urlsplit(address).path))


def _remember(address: str, place: Path, root: Path) -> None:
    """Know the address of a copy, and of others on the same store."""
    scheme, host = place.parts[:2]
    start = f"{scheme}://{host.replace('+', ':') if scheme in WEB else host}"
    remember(root / scheme / host, start, below=root)
    if len(place.parts) > 2:
        remember(root / place, address, below=root)


@contextmanager
def _alone(root: Path, note: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Keep other processes from changing copies meanwhile, and wait for those that do."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # scans are private
        root.mkdir(exist_ok=True, mode=0o700)
    except OSError as cause:
        text = f"{root}: the cache cannot be written: {cause.strerror}; set VOXLEX_CACHE to another folder"
        raise DataError(text) from cause
    waits = False
    while True:
        try:
            with lock(root / _LOCK):
                yield
                return
        except Held as cause:
            if not waits:
                note(f"waiting for {cause.holder}, which downloads")
            waits = True
            time.sleep(_LOOK_AGAIN_S)


def bring(found: Sequence[Found], root: Path, *, phases: Phases = silent) -> None:
    """Download what is not there yet or has changed, several objects at once, and remove what is gone.

    Args:
        found: What was found at some addresses.
        root: The folder that their places are relative to.
        phases: Receives the progress, in bytes.

    Raises:
        DataError: If an object cannot be read, or a copy cannot be written.
    """
    for one in found:
        if one.is_folder:
            _drop_others(root / one.place, {root / stored.place for stored in one.objects})
    pairs = {stored.place: (one.system, stored) for one in found for stored in one.objects}
    missing = [pair for place, pair in pairs.items() if not _is_whole(root / place, pair[1])]
    if not missing:
        return
    total = sum(stored.size or 0 for _, stored in missing)
    if total > (free := shutil.disk_usage(root).free):
        raise DataError(
            f"{root}: expected {total / 1e9:.1f} GB of free disk space for copies in the cache (VOXLEX_CACHE), got "
            f"{free / 1e9:.1f} GB"
        )
    stopped, done, adding = Event(), 0, Lock()
    with phases("downloading") as progress:

        def add(count: int) -> None:
            nonlocal done
            with adding:
                done += count
                progress(done, max(done, total))

        transfer = partial(_download, root=root, add=add, stopped=stopped)
        for _ in in_order(transfer, missing, threads=THREADS, ahead=2 * THREADS, stopped=stopped):
            pass


def _download(pair: tuple[Any, Stored], *, root: Path, add: Callable[[int], None], stopped: Event) -> None:
    system, stored = pair
    place = root / stored.place
    address = stored.name if "://" in stored.name else f"{stored.place.parts[0]}://{stored.name.lstrip('/')}"
    _make_way(place, root)
    with atomic_file(place, durable=False) as building:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with explained(address):
                    system.get_file(stored.name, str(building), callback=meter(add, stopped))
                break
            except UnreachableError:
                if attempt == _ATTEMPTS:
                    raise
        size = building.stat().st_size
        if stored.size is not None and size != stored.size:
            raise DataError(
                f"{printable(masked(address))}: expected {stored.size:,} bytes, got {size:,}; has it changed "
                "meanwhile? run the command again"
            )
        if stored.time_ns is not None:
            os.utime(building, ns=(stored.time_ns, stored.time_ns))


def _is_whole(place: Path, stored: Stored) -> bool:
    return stored.time_ns is not None and _facts(place) == (stored.size, stored.time_ns)


def _facts(place: Path) -> tuple[int, int] | None:
    try:
        status = place.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if place.is_file() else None


def _make_way(place: Path, root: Path) -> None:
    """Remove the copy of an object that has become a folder, or of a folder that has become an object."""
    for above in place.parents:
        if above == root:
            break
        if above.is_file():
            remove(above)
    if place.is_dir():
        _drop_others(place, set())


def _drop_others(folder: Path, kept: set[Path]) -> None:
    """Remove copies of what is not on the store any more, and folders that are empty then."""
    for place, _, names in os.walk(folder):
        for file in (Path(place, name) for name in names):
            if file not in kept:
                remove(file)
    remove_empty(folder)


def _write_record(record: Path, name: str, places: Sequence[Path], objects: Sequence[Stored]) -> None:
    """Note which copies belong together, so that they can be used without a network, listed and removed."""
    files = [[one.place.as_posix(), one.size, one.time_ns] for one in objects]
    content = {"name": printable(name), "places": [place.as_posix() for place in places], "files": files}
    record.parent.mkdir(exist_ok=True)
    write_json(record, content)


def _of_record(record: Path, root: Path, cause: UnreachableError) -> list[Path]:
    """Return the places of copies that were whole when the store could be reached.

    Raises:
        UnreachableError: If there are none.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        places = [Path(place) for place in content["places"]]
        facts = {Path(place): (size, time_ns) for place, size, time_ns in content["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise UnreachableError(f"{cause}; there is no copy in the cache") from None
    if any(_facts(root / place) != expected for place, expected in facts.items()):
        raise UnreachableError(f"{cause}; the copy in the cache is not whole")
    return places


@dataclass(frozen=True)
class Download:
    """Copies that were fetched together.

    Attributes:
        record: The file that lists them.
        name: Their address, or what they are.
        size: Bytes on the disk.
        used: When they were used last, in seconds since 1970.
    """

    record: Path
    name: str
    size: int
    used: float


def downloads() -> list[Download]:
    """Return what was downloaded into the cache, the one that was used last first."""
    found = []
    root = resolved(cache_folder()) / FOLDER
    for record in sorted((root / _RECORDS).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # removed meanwhile, or damaged
            content = json.loads(record.read_text(encoding="utf-8"))
            sizes = [facts[0] for place, *_ in content["files"] if (facts := _facts(root / place))]
            found.append(Download(record, printable(content["name"]), sum(sizes), record.stat().st_mtime))
    return sorted(found, key=lambda one: -one.used)


def clean_downloads(*, older_than_days: float = 0.0) -> list[Download]:
    """Remove downloads from the cache that have not been used for so many days, and return them.

    Raises:
        DataError: If something cannot be removed.
    """
    now, root = time.time(), resolved(cache_folder()) / FOLDER
    removed = [one for one in downloads() if now - one.used >= older_than_days * 24 * 3600]
    if not removed:
        return []
    with _alone(root):
        for one in removed:
            for place, *_ in json.loads(one.record.read_text(encoding="utf-8"))["files"]:
                remove(root / place)
            remove(one.record)
        for folder in root.iterdir():
            if folder.is_dir() and folder.name != _RECORDS:
                remove_empty(folder)
    return removed
