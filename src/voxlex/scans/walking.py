"""Walk through the folders of a source: regular files, without what the program itself has put there."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from voxlex.errors import DataError
from voxlex.names import printable
from voxlex.outputs import own_results
from voxlex.scans.suffixes import IMAGE_SUFFIXES, VOLUME_SUFFIXES

_SHOWN = 3
# What is wrong with a folder, and not with the machine.
_OF_A_FOLDER = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR)
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Files(NamedTuple):
    """The files of one folder: its place, the start of their relative paths, and their names, sorted."""

    place: str
    prefix: str
    names: list[str]


@dataclass
class PassedOver:
    """What a walk has left out although it looks like a scan.

    Attributes:
        own: Results of the program.
        special: Pipes, sockets and devices, each with its kind.
        folders: Folders that cannot be listed, each with the reason.
        without_image: DICOM files that are not scans, such as reports and localisers, each with the reason.
        unread: Suffixes of files that may hold scans in formats that are not read, once for each file.
    """

    own: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return a sentence for each kind."""
        places = sorted({path.rpartition("/")[0] or "." for path in self.own})
        suffixes = [f"{suffix} ({count:,})" for suffix, count in sorted(Counter(self.unread).items())]
        advice = "; to use such a folder, name it as the source"
        return [
            f"passed over {len(found)} {what} {_listed(shown)}{more}"
            for found, what, shown, more in (
                (self.own, "files that voxlex made itself, in", places, advice),
                (self.special, "that are not regular files:", self.special, ""),
                (self.folders, "folders that cannot be listed:", self.folders, ""),
                (self.without_image, "DICOM files that are not scans:", self.without_image, ""),
                (
                    self.unread,
                    "files of kinds that are not read:",
                    suffixes,
                    "; if they hold scans, convert or unpack them",
                ),
            )
            if found
        ]


def walk(folder: Path, passed_over: PassedOver) -> Iterator[Files]:
    """Yield the files of a folder and of those below it, without hidden ones. Links to folders are followed once.

    Links that lead nowhere are files, too: reading them tells what is wrong. The results of the program are passed over
    below `folder`; in `folder` itself they are what was asked for.

    Args:
        folder: The folder.
        passed_over: Receives what is left out.

    Raises:
        DataError: If `folder` cannot be listed, or a folder below cannot because of the machine, such as too many open
            files.
    """
    pending = [(str(folder), "", False)]
    seen: set[tuple[int, int]] = set()
    while pending:
        place, prefix, among_results = pending.pop()
        try:
            entries = _entries(place, seen)
        except OSError as cause:
            reason = cause.strerror or str(cause)
            if not prefix or cause.errno not in _OF_A_FOLDER:
                raise DataError(f"{place}: cannot be listed: {reason}") from cause
            passed_over.folders.append(f"{printable(prefix.rstrip('/'))} ({reason})")
            continue
        folders = [entry for entry in entries if _is_folder(entry)]
        names = _regular(entries, folders, prefix, passed_over)
        if prefix:
            own, among_results = own_results(Path(place), names, among_results=among_results)
            passed_over.own += [printable(prefix + name) for name in names if name in own]
            names = [name for name in names if name not in own]
        yield Files(place, prefix, names)
        pending += [(entry.path, f"{prefix}{entry.name}/", among_results) for entry in folders]


def files_in(folder: Path) -> list[str]:
    """Return the names of the regular files of a folder, sorted, without hidden ones.

    Raises:
        DataError: If it cannot be listed.
    """
    try:
        entries = _entries(str(folder), set())
    except OSError as cause:
        raise DataError(f"{folder}: cannot be listed: {cause.strerror or cause}") from cause
    return _regular(entries, [entry for entry in entries if _is_folder(entry)], "", PassedOver())


def _entries(folder: str, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Return what a folder holds, sorted; nothing for a folder seen before."""
    # A link may lead to a folder above it. Device and inode identify folders that were seen before.
    status = Path(folder).stat()
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _regular(
    entries: Sequence[os.DirEntry[str]], folders: Sequence[os.DirEntry[str]], prefix: str, passed_over: PassedOver
) -> list[str]:
    others = {entry.name for entry in folders}
    names = []
    for entry in entries:
        if entry.name in others:
            continue
        kind = _special(entry)
        if kind is None:
            names.append(entry.name)
        elif entry.name.lower().endswith((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES)):
            passed_over.special.append(f"{printable(prefix + entry.name)} ({kind})")
    return names


def _special(entry: os.DirEntry[str]) -> str | None:
    """Return what kind of file something is that is not a regular one; opening a pipe would wait for ever."""
    with suppress(OSError):  # such as a link to itself
        if not entry.is_file():
            return _KINDS.get(stat.S_IFMT(entry.stat().st_mode))
    return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # such as a link to itself, for which reading raises an error
        return entry.is_dir()
    return False


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
