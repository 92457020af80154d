"""Download a public set, check it and unpack it. An interrupted download can be resumed.

The file `fetched.json` beside the data records the accepted terms and the SHA-256 of each archive. If someone with that
file fetches the set again, the archives must be equal to the byte, or they are refused.
"""

import bz2
import gzip
import json
import logging
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path
from typing import Any, cast

from voxlex.data.public.catalogue import Archive, PublicSet
from voxlex.data.public.downloading import ResumingDownloader
from voxlex.errors import DataError
from voxlex.files import emptied, is_there, move, remove, remove_among, write_json
from voxlex.progress import Progress

RECORD_FILE = "fetched.json"
WORKPLACE = ".fetching"
"""Hidden folder of partial downloads beside the data. It is removed when everything has arrived."""

_LOCK = "lock"
_TOLERANCE, _SLACK = 1.25, 2**26  # how much larger an archive may be than the catalogue says
_LARGEST_RATIO = 100  # scans shrink less than this when they are compressed
_MOST_MEMBERS = 1_000_000
_LARGEST_READ = 2**26  # bytes


class FetchRecord:
    """The record of the archives in a folder, stored as JSON in `fetched.json`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / RECORD_FILE
        self.content: dict[str, Any] = {"accepted": [], "archives": {}}
        if self.file.exists():
            try:
                read = json.loads(self.file.read_text(encoding="utf-8"))
                self.content = {"accepted": list(read["accepted"]), "archives": dict(read["archives"])}
                for seen in self.content["archives"].values():
                    if not isinstance(seen["sha256"], str) or not all(isinstance(name, str) for name in seen["holds"]):
                        raise TypeError("archives")
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
                raise DataError(f"{self.file}: damaged; remove it to fetch again without comparing") from cause

    def accepted(self, public: PublicSet) -> bool:
        """Return whether the terms of a set were accepted before."""
        return public.licence_url in self.content["accepted"]

    def accept(self, public: PublicSet) -> None:
        """Record that the terms of a set are accepted."""
        if not self.accepted(public):
            self.content["accepted"].append(public.licence_url)
            write_json(self.file, self.content)

    def hash_of(self, archive: Archive) -> str | None:
        """Return the hash that an archive had before, in the format of pooch."""
        seen = self.content["archives"].get(archive.name)
        return f"sha256:{seen['sha256']}" if seen else None

    def unpacked(self, archive: Archive) -> bool:
        """Return whether everything that an archive held is in the folder."""
        seen = self.content["archives"].get(archive.name)
        return bool(seen) and all((self.file.parent / name).exists() for name in seen["holds"])

    def note(self, archive: Archive, *, sha256: str, holds: list[str]) -> None:
        """Record that an archive was unpacked."""
        self.content["archives"][archive.name] = {"url": archive.url, "sha256": sha256, "holds": holds}
        write_json(self.file, self.content)


def fetch_set(public: PublicSet, *, folder: str | Path, progress: Progress | None = None, wait_s: float = 2.0) -> Path:
    """Download a set into a folder, or resume an interrupted download.

    This does nothing if the folder already holds the set.

    Args:
        public: The set. This function assumes that the user has accepted its terms.
        folder: Folder for the files, which may also hold other sets.
        progress: Function that is called with the number of bytes of the set that have arrived, and of all its bytes.
        wait_s: Seconds to wait between attempts if a connection breaks.

    Returns:
        The folder.

    Raises:
        DataError: If the set cannot be downloaded, does not have the expected hash, or cannot be stored. A bad archive
            is removed, and a partial one is kept.
    """
    folder = Path(folder)
    try:
        (folder / WORKPLACE).mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            record = FetchRecord(folder)
            record.accept(public)
            before = 0
            for archive in public.archives:
                if not record.unpacked(archive):
                    report = _within(progress, before=before, share=archive.size, total=public.size)
                    _fetch(archive, folder, record, progress=report, wait_s=wait_s)
                before += archive.size
    except OSError as cause:
        raise DataError(f"{folder}: cannot be written: {cause.strerror or cause}") from cause
    finally:
        remove_among(folder / WORKPLACE, ())  # if it holds partial downloads, it stays
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time fetch into a folder. The lock of a process that was killed goes with it."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # not every system has it
        yield
        return
    lock = folder / WORKPLACE / _LOCK
    with lock.open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
            ours = lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except BlockingIOError:
            ours = False
        except OSError:  # a file system without locks
            ours = True
        if not ours:
            raise DataError(f"{folder}: another process is fetching into this folder; wait until it has finished")
        try:
            yield
        finally:
            remove(lock)


def _fetch(archive: Archive, folder: Path, record: FetchRecord, *, progress: Progress | None, wait_s: float) -> None:
    workplace = folder / WORKPLACE
    part = workplace / f"{archive.name}.part"
    _check_space(archive, folder, arrived=part.stat().st_size if part.exists() else 0)
    at_most = int(archive.size * _TOLERANCE) + _SLACK  # the publisher's size may be rounded
    downloader = ResumingDownloader(part, at_most=at_most, progress=progress, wait_s=wait_s)
    file = _retrieve(archive, workplace, record, downloader)
    from pooch import file_hash

    sha256 = file_hash(str(file))
    holds = _unpack(file, folder)
    record.note(archive, sha256=sha256, holds=holds)
    remove(file)


def _retrieve(archive: Archive, workplace: Path, record: FetchRecord, downloader: ResumingDownloader) -> Path:
    """Download and check an archive. If its hash differs from the known one, pooch removes it."""
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)  # it would print each step, and unknown hashes
    known = record.hash_of(archive) or archive.checksum
    try:
        return Path(pooch.retrieve(archive.url, known, fname=archive.name, path=workplace, downloader=downloader))
    except ValueError as cause:
        source = RECORD_FILE if record.hash_of(archive) else "the catalogue"
        raise DataError(
            f"{archive.url}: expected the hash {known} of {source}, got a file with another hash"
        ) from cause


def _check_space(archive: Archive, folder: Path, *, arrived: int) -> None:
    needed = archive.size - arrived
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: expected {needed / 1e9:.1f} GB of free space for {archive.name}, got {free / 1e9:.1f} GB"
        )


def _unpack(file: Path, folder: Path) -> list[str]:
    """Unpack an archive aside, move its contents into the folder, and return the names at its top level."""
    if not hasattr(tarfile, "data_filter"):
        raise DataError("expected Python 3.11.4 or later, which can unpack archives safely, got an older one")
    try:
        with emptied(folder / WORKPLACE / "unpacking") as aside:
            _extract(file, aside)
            names = sorted(path.name for path in aside.iterdir())
            for name in names:
                _check_free(aside / name, folder / name)
            for name in names:
                _move(aside / name, folder / name)
            return names
    except tarfile.FilterError as cause:
        remove(file)
        raise DataError(f"{file.name}: expected a safe archive, got one that was refused: {cause}") from cause
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as cause:
        remove(file)
        raise DataError(f"{file.name}: expected a complete tar archive, got a damaged file: {cause}") from cause


def _extract(file: Path, aside: Path) -> None:
    """Extract the members of an archive one after the other, as long as they may fit and are of a plausible number."""
    free = shutil.disk_usage(aside).free
    most = min(free, file.stat().st_size * _LARGEST_RATIO + _SLACK)
    size = 0
    with _decompressed(file) as stream, tarfile.open(fileobj=cast(Any, _Careful(stream)), mode="r:") as archive:
        for number, member in enumerate(archive):
            size += member.size
            if number >= _MOST_MEMBERS or size > most:
                what = f"{number:,} files" if size <= most else f"more than {most / 1e9:,.1f} GB"
                raise tarfile.FilterError(f"it would unpack to {what}")
            archive.extract(member, aside, filter="data")


def _decompressed(file: Path) -> Any:
    with file.open("rb") as stream:
        start = stream.read(6)
    for signature, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if start.startswith(signature):
            return opened(file, "rb")
    return file.open("rb")


class _Careful:
    """A stream for tarfile, which would otherwise take a header of any claimed length into memory."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.FilterError("it has a header of an implausible size")
        content: bytes = self._stream.read(size)
        return content


def _check_free(source: Path, target: Path) -> None:
    """Refuse to replace files of another content; those of an unpacking that was interrupted are the same."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _check_free(child, target / child.name)
    elif is_there(target) and not (source.is_file() and target.is_file() and cmp(source, target, shallow=False)):
        raise DataError(f"{target}: exists already and is not of this set; choose another folder with --out")


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        move(source, target)


def _within(progress: Progress | None, *, before: int, share: int, total: int) -> Progress | None:
    """Report the bytes of an archive as bytes of the set. An archive may be larger than the catalog says."""
    if progress is None:
        return None
    return lambda done, _: progress(before + min(done, share), total)
