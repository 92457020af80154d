"""Results at addresses: a command writes them here, and they are uploaded when they are complete.

An object appears whole or not at all. The objects of a folder are uploaded below a hidden name beside it, and the store
itself then copies them to their places. The description by which a run or a prepared set is known comes last.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

from voxlex.errors import DataError
from voxlex.files import cache_folder, is_building, move
from voxlex.names import resolved
from voxlex.outputs import PREPARED_DESCRIPTION, RUN_METADATA
from voxlex.progress import Phases, silent
from voxlex.rows import in_order
from voxlex.stores.addresses import WEB, checked, masked, name_of, remember, scheme_of
from voxlex.stores.fetching import bring
from voxlex.stores.listing import Found, find, place_for
from voxlex.stores.opening import THREADS, NothingThereError, explained, meter, opened

_LAST = (PREPARED_DESCRIPTION, RUN_METADATA)
_UNSENT = "unsent"


@dataclass
class Result:
    """A result that a command writes to `place`, and that belongs to an address.

    Attributes:
        address: The address.
        place: Where the command writes it, in a folder of its own.
        system: The file system of fsspec.
        path: The path of the address in it.
        before: The objects that were there, with their sizes and times.
        copied: The files that were made of them, with their sizes and times.
    """

    address: str
    place: Path
    system: Any
    path: str
    before: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    copied: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def at(
        cls, address: str, workplace: Path, *, replaces: bool, goes_on: bool, tries: bool, phases: Phases = silent
    ) -> "Result":
        """Decide whether a command may write to an address, before the work is done.

        A folder that is there, and that the command replaces or goes on with, is copied first. So the command decides
        what it may replace as it does for a folder of this machine.

        Args:
            address: The address.
            workplace: A new folder for the result.
            replaces: Whether what is there may be replaced.
            goes_on: Whether the command goes on with what is there, also with a single file.
            tries: Whether to try if an object can be written.
            phases: Receives the progress of the download, in bytes.

        Raises:
            ConfigError: If a package is not installed.
            DataError: If nothing can be written there, or it must not.
        """
        address = checked(address)
        result = cls._in(workplace, address)
        found = _found(address)
        if found is not None and not (replaces or goes_on):
            raise DataError(
                f"{masked(address)}: exists already; choose another place, or replace it with --overwrite where the "
                "command has this option"
            )
        if tries:
            result._try()
        result.place.parent.mkdir(parents=True, exist_ok=True)
        if found is not None and (found.is_folder or goes_on):
            bring([found], workplace, phases=phases)
        elif found is not None:  # its content is of no use
            result.place.touch()
        result.before = _objects(found)
        result.copied = {file: _facts(file) for file in _files_below(result.place)}
        return result

    @classmethod
    def _in(cls, workplace: Path, address: str) -> "Result":
        """Return a result in a folder.

        Raises:
            DataError: If nothing can be written to such an address.
        """
        scheme = scheme_of(address)
        if scheme in (*WEB, "hf"):
            push = "; write it to this machine, and if it is a run, `voxlex push RUN owner/name` brings it to the Hub"
            other = push if scheme == "hf" else ""
            raise DataError(f"{masked(address)}: expected a place on a store such as s3:// or gs:// to write{other}")
        system, path = opened(address)
        place = place_for(path, scheme)
        if len(place.parts) < 3:
            raise DataError(f"{masked(address)}: expected a place in a bucket, such as {masked(address)}/results")
        remember(workplace / place, address, below=workplace)
        return cls(address, workplace / place, system, path)

    def publish(self, *, phases: Phases = silent) -> None:
        """Upload the result, as far as it is new; objects that are not part of it any more are removed.

        Raises:
            DataError: If it cannot be uploaded. What was there stays, unless the store fails in copying over it, and
                the result is kept on this machine.
        """
        files = _files_below(self.place)
        new = [file for file in files if self.copied.get(file) != _facts(file)]
        gone = self.copied.keys() - set(files)
        if not (new or gone):
            return
        try:
            if _objects(_found(self.address)) != self.before:
                raise DataError(f"{masked(self.address)}: somebody else has written there meanwhile")
            if self.place.is_file():
                self._send([(self.place, self.path)], phases)
            else:
                self._publish_folder(new, phases)
                self._remove(self._name_of(file) for file in gone)
        except BaseException as cause:
            kept = self._keep()
            if isinstance(cause, DataError):
                raise DataError(f"{cause}; the result was not uploaded, and is kept in {kept}") from None
            raise

    def _publish_folder(self, new: Sequence[Path], phases: Phases) -> None:
        """Upload files to hidden names, and let the store copy them to their own."""
        aside = _hidden(self.path)
        names = {self._name_of(file): f"{aside}/{number}" for number, file in enumerate(new)}
        done: list[str] = []
        try:
            self._send(list(zip(new, names.values(), strict=True)), phases)
            with explained(self.address, what="cannot be written"):
                for name in sorted(names, key=lambda name: name.rpartition("/")[2] in _LAST):
                    self.system.cp_file(names[name], name)
                    done.append(name)
        except BaseException:
            self._remove(name for name in done if name not in self.before)
            raise
        finally:
            self._remove(names.values())

    def _name_of(self, file: Path) -> str:
        return f"{self.path}/{file.relative_to(self.place).as_posix()}"

    def _send(self, pairs: Sequence[tuple[Path, str]], phases: Phases) -> None:
        """Upload files, several at once, and check their sizes."""
        total, done, adding, stopped = sum(file.stat().st_size for file, _ in pairs), 0, Lock(), Event()
        with phases("uploading") as progress:

            def add(count: int) -> None:
                nonlocal done
                with adding:
                    done += count
                    progress(done, max(done, total))

            send = partial(self._send_one, add=add, stopped=stopped)
            for _ in in_order(send, pairs, threads=THREADS, ahead=2 * THREADS, stopped=stopped):
                pass

    def _send_one(self, pair: tuple[Path, str], *, add: Callable[[int], None], stopped: Event) -> None:
        file, name = pair
        with explained(self.address, what="cannot be written"):
            self.system.put_file(str(file), name, callback=meter(add, stopped))
            self.system.invalidate_cache()
            size = self.system.info(name)["size"]
        if size != file.stat().st_size:
            raise DataError(f"{masked(self.address)}: expected {file.stat().st_size:,} bytes to arrive, got {size:,}")

    def _try(self) -> None:
        """Write an empty object beside the result and remove it, since it is better to fail before the work is done."""
        trial = _hidden(self.path)
        with explained(self.address, what="cannot be written"):
            self.system.pipe_file(trial, b"")
            self.system.rm_file(trial)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(Exception):  # usually it was never written, and another error is the one to report
                self.system.rm_file(name)

    def _keep(self) -> Path:
        folder = resolved(cache_folder()) / _UNSENT / secrets.token_hex(4)
        folder.mkdir(parents=True, mode=0o700)
        move(self.place, folder / name_of(self.address), durable=False)
        return folder / name_of(self.address)


def _found(address: str) -> Found | None:
    """Return what is at an address; None for nothing."""
    try:
        return find(address)
    except NothingThereError:
        return None


def _objects(found: Found | None) -> dict[str, tuple[int | None, int | None]]:
    return {} if found is None else {one.name: (one.size, one.time_ns) for one in found.objects}


def _files_below(folder: Path) -> list[Path]:
    """Return the files of a folder, or the one file that it is."""
    found = [folder] if folder.is_file() else folder.rglob("*")
    return sorted(path for path in found if path.is_file() and not is_building(path))


def _facts(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _hidden(path: str) -> str:
    """Return a hidden name beside a path, which nobody has."""
    above, _, name = path.rpartition("/")
    return f"{above}/.{name}.{secrets.token_hex(4)}.tmp"
