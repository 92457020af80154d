"""Writes an archive as a stream: one record after the other, the index at the end."""

import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from voxlex.archive.content import Content, salt_of
from voxlex.archive.format import (
    HEADER,
    INDEX,
    MODEL,
    RECORD,
    TABLES,
    Entry,
    Header,
    block,
    data,
    index_to_bytes,
    prelude,
    tail,
    text,
)
from voxlex.archive.record import Record
from voxlex.errors import ArchiveError, DataError
from voxlex.files import atomic_file


class ArchiveWriter:
    """Writes records to an open file; see `new_archive` and `longer_archive`.

    Args:
        stream: The file, positioned where the next record goes.
        header: What all records share.
        salt: See `format.block`.
        entries: The records that are there.
    """

    def __init__(self, stream: IO[bytes], header: Header, *, salt: bytes, entries: Iterable[Entry] = ()) -> None:
        self.stream = stream
        self.header = header
        self.salt = salt
        self.entries = list(entries)
        self.names = {entry.name for entry in self.entries}

    def add(self, record: Record) -> None:
        """Write a record.

        Raises:
            ArchiveError: If a record of its name is there.
        """
        if record.name in self.names:
            raise ArchiveError(f"{record.name}: is in the archive already")
        content = block(RECORD, record.to_bytes(folders=self.header.folders), salt=self.salt)
        self.entries.append(Entry(record.name, self.stream.tell(), len(content)))
        self.names.add(record.name)
        self.stream.write(content)

    def finish(self) -> None:
        """Write the header once more, in case the first is damaged one day, and the index."""
        self.stream.write(block(HEADER, self.header.to_bytes()))
        start = self.stream.tell()
        self.stream.write(block(INDEX, index_to_bytes(self.entries), salt=self.salt))
        self.stream.write(tail(start))


@contextmanager
def new_archive(
    path: Path,
    header: Header,
    *,
    tables: bytes | None = None,
    model: Mapping[str, bytes] | None = None,
    version: int = 1,
) -> Iterator[ArchiveWriter]:
    """Write an archive, which appears when it is whole; a file that is there is replaced then.

    Args:
        path: The file.
        header: What all records share.
        tables: The tables, if the archive is to hold them.
        model: The files of the model, by name, if the archive is to hold it.
        version: 1, or 2 if it is to hold exact scans.

    Raises:
        DataError: If it cannot be written.
    """
    with atomic_file(path) as building, building.open("wb") as stream:
        first = block(HEADER, header.to_bytes())
        salt = salt_of(first)
        stream.write(prelude(version) + first)
        if tables is not None:
            stream.write(block(TABLES, zlib.compress(tables, 9), salt=salt))
        for name, content in (model or {}).items():
            stream.write(block(MODEL, text(name) + data(content), salt=salt))
        writer = ArchiveWriter(stream, header, salt=salt)
        yield writer
        writer.finish()


@contextmanager
def longer_archive(path: Path, *, version: int = 1) -> Iterator[ArchiveWriter]:
    """Add records to an archive. They go into a copy, which takes its place when it is whole.

    Args:
        path: The archive.
        version: 1, or 2 if exact scans are added; see `new_archive`.

    Raises:
        ArchiveError: If the archive cannot be read, or is damaged.
        DataError: If it cannot be written, or another process has changed it in the meantime.
    """
    content = Content.open(path)
    if content.damage:
        raise ArchiveError(f"{path}: expected a whole archive to add to, got a damaged one: {content.damage[0]}")
    before = path.stat()
    with atomic_file(path) as building:
        shutil.copyfile(path, building)
        with building.open("rb+") as stream:
            stream.write(prelude(max(version, content.version)))
            end = max((entry.start + entry.size for entry in content.entries), default=content.first_record)
            stream.seek(end)
            stream.truncate()
            writer = ArchiveWriter(stream, content.header, salt=content.salt, entries=content.entries)
            yield writer
            writer.finish()
        now = path.stat()
        if (now.st_ino, now.st_mtime_ns, now.st_size) != (before.st_ino, before.st_mtime_ns, before.st_size):
            raise DataError(f"{path}: another process has changed it in the meantime; add the scans again")
