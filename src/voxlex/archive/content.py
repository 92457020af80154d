"""The blocks of an archive on disk, read at random; from a damaged archive, all that is whole."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from voxlex.archive.format import (
    HEADER,
    INDEX,
    LONGEST_HEAD,
    MAGIC,
    MARKER,
    MODEL,
    PRELUDE_SIZE,
    RECORD,
    TABLES,
    TAIL,
    VERSION,
    Block,
    Cursor,
    Entry,
    Header,
    block_head,
    index_from_bytes,
    index_start,
    prelude,
    read_block,
    size_of_block,
    unpacked,
)
from voxlex.archive.record import Record
from voxlex.errors import ArchiveError

_PIECE = 2**24
_LARGEST_BLOCK = 2**32


class File:
    """A file that is read at random, by any number of threads and processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self, start: int, size: int) -> bytes:
        """Read bytes; fewer where the file ends.

        Raises:
            ArchiveError: If the file cannot be read.
        """
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            if hasattr(os, "pread"):
                return os.pread(self._descriptor, size, start)
            with self.path.open("rb") as stream:
                stream.seek(start)
                return stream.read(size)
        except OSError as cause:
            raise ArchiveError(f"{self.path}: cannot be read: {cause.strerror or cause}") from cause

    def __len__(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError as cause:
            raise ArchiveError(f"{self.path}: cannot be read: {cause.strerror or cause}") from cause

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path, self._descriptor = path, None

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """What an archive consists of.

    Attributes:
        file: The file.
        version: Version of the format.
        header: What all records share.
        salt: The checksum of the header, which is part of those of all other blocks.
        first_record: Where the first record begins, or would.
        tables: Where the block of the tables begins; None if the archive holds none.
        model: Where the blocks of the model begin.
        entries: The records, in order. Of a damaged archive, those that are whole.
        damage: Sentences about what is damaged; none if the index is whole.
    """

    file: File
    version: int
    header: Header
    salt: bytes
    first_record: int
    tables: int | None
    model: list[int]
    entries: list[Entry]
    damage: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> "Content":
        """Open an archive. If its index is damaged, all of it is searched for what is whole.

        Raises:
            ArchiveError: If it cannot be read, is not an archive, is of a newer version, or nothing of it is whole.
        """
        if not path.is_file():
            raise ArchiveError(f"{path}: " + ("expected a file, got a folder" if path.is_dir() else "no such file"))
        file = File(path)
        start = file.read(0, PRELUDE_SIZE)
        if not start.startswith(MAGIC) and MARKER not in file.read(0, _PIECE):
            raise ArchiveError(f"{path}: expected an archive of voxlex, got another file")
        version = int.from_bytes(start[len(MAGIC) :], "little")
        if start.startswith(MAGIC) and version > VERSION and len(start) == PRELUDE_SIZE:
            raise ArchiveError(
                f"{path}: expected an archive of version {VERSION} or older, got version {version}; "
                "install a newer voxlex"
            )
        try:
            return cls._opened(file)
        except ArchiveError:
            return _searched(file)

    @classmethod
    def _opened(cls, file: File) -> "Content":
        header, salt = _header(file, PRELUDE_SIZE)
        end = len(file)
        begin = index_start(file.read(max(0, end - TAIL.size), TAIL.size))
        version = _version(file)
        if begin is None or version is None:
            raise ArchiveError("expected an archive that ends with its index, got one that is cut or damaged")
        index = _block(file, begin, salt)
        if index.kind != INDEX or begin + index.size + TAIL.size != end:
            raise ArchiveError("expected an index, got something else")
        place, tables, model = PRELUDE_SIZE + _size(file, PRELUDE_SIZE)[1], None, []
        while place < begin and (found := _size(file, place))[0] in (TABLES, MODEL):
            if found[0] == TABLES:
                tables = place
            else:
                model.append(place)
            place += found[1]
        entries = index_from_bytes(index.payload)
        if any(entry.start < place or entry.start + entry.size > begin for entry in entries):
            raise ArchiveError("expected records inside the archive, got others")
        return cls(
            file=file,
            version=version,
            header=header,
            salt=salt,
            first_record=place,
            tables=tables,
            model=model,
            entries=entries,
        )

    def record(self, number: int) -> Record:
        """Read a record.

        Raises:
            ArchiveError: If it is damaged.
        """
        entry = self.entries[number]
        with self.naming(entry.name):
            found = read_block(self.file.read(entry.start, entry.size), salt=self.salt)
            record = _record_of(self.header, found)
            if record is None or found.size != entry.size or record.name != entry.name:
                raise ArchiveError(f"expected the record of {entry.name}, got another one: damaged")
        return record

    def read_tables(self) -> bytes | None:
        """Read the tables; None if the archive holds none.

        Raises:
            ArchiveError: If they are damaged.
        """
        if self.tables is None:
            return None
        with self.naming("tables"):
            return unpacked(_block(self.file, self.tables, self.salt).payload)

    def read_model(self) -> dict[str, bytes]:
        """Read the files of the model, by name; none if the archive holds none.

        Raises:
            ArchiveError: If they are damaged.
        """
        files = {}
        with self.naming("model"):
            for start in self.model:
                cursor = Cursor(_block(self.file, start, self.salt).payload)
                name = cursor.text()
                files[name] = cursor.data()
        return files

    def naming(self, part: str) -> "_Naming":
        """Return a context that begins the errors of a part with the name of the archive and of the part."""
        return _Naming(f"{self.file.path}: {part}: ")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each record, by name."""
        return {entry.name: number for number, entry in enumerate(self.entries)}


class _Naming:
    def __init__(self, start: str) -> None:
        self.start = start

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ArchiveError) and not str(error).startswith(self.start):
            raise ArchiveError(f"{self.start}{error}") from error


def _version(file: File) -> int | None:
    """Return the version of an archive; None if its first bytes are damaged."""
    start = file.read(0, PRELUDE_SIZE)
    return next((version for version in range(1, VERSION + 1) if start == prelude(version)), None)


def salt_of(first: bytes) -> bytes:
    """Return the salt of the checksums of an archive, from the block of its header."""
    return first[-8:]


def _header(file: File, start: int) -> tuple[Header, bytes]:
    size = _size(file, start)[1]
    content = file.read(start, size)
    found = read_block(content)
    if found.kind != HEADER:
        raise ArchiveError("expected the header of an archive, got something else")
    return Header.from_bytes(found.payload), salt_of(content)


def _size(file: File, start: int) -> tuple[int, int]:
    """Return the kind and the size of the block that begins here, which need not be whole."""
    kind, length = block_head(Cursor(file.read(start, LONGEST_HEAD)))
    if length > _LARGEST_BLOCK:
        raise ArchiveError(f"expected a block of up to {_LARGEST_BLOCK} bytes, got one of {length}: damaged")
    return kind, size_of_block(length)


def _block(file: File, start: int, salt: bytes) -> Block:
    return read_block(file.read(start, _size(file, start)[1]), salt=salt)


def _searched(file: File) -> Content:
    """Search all of a damaged archive for blocks that are whole."""
    tried = (_try_header(file, start) for start in _markers(file) if _kind(file, start) == HEADER)
    headers = [found for found in tried if found is not None]
    if not headers:
        raise ArchiveError(f"{file.path}: expected an archive of voxlex, got one without a header that is whole")
    header, salt = headers[0]
    entries: dict[str, Entry] = {}
    tables, model, last, damage = None, [], PRELUDE_SIZE, []
    for start in _markers(file):
        if start < last:  # inside a block that is whole
            continue
        try:
            found = read_block(file.read(start, _size(file, start)[1]), salt=salt)
            record = _record_of(header, found)
        except ArchiveError:
            continue
        if start > last:
            damage.append(f"bytes {last:,} to {start:,} are not whole")
        last = start + found.size
        if found.kind == TABLES:
            tables = start
        elif found.kind == MODEL:
            model.append(start)
        elif record is not None:
            entries.setdefault(record.name, Entry(record.name, start, found.size))
    return Content(
        file=file,
        version=_version(file) or VERSION,
        header=header,
        salt=salt,
        first_record=min((entry.start for entry in entries.values()), default=last),
        tables=tables,
        model=model,
        entries=list(entries.values()),
        damage=[f"its index is damaged or missing; {len(entries)} records of it are whole", *damage],
    )


def _record_of(header: Header, found: Block) -> Record | None:
    if found.kind != RECORD:
        return None
    return Record.from_bytes(
        found.payload, levels=len(header.layouts), axes=len(header.layouts[0].grid), folders=header.folders
    )


def _try_header(file: File, start: int) -> tuple[Header, bytes] | None:
    try:
        return _header(file, start)
    except ArchiveError:
        return None


def _kind(file: File, start: int) -> int:
    return (file.read(start + len(MARKER), 1) or b"\0")[0]


def _markers(file: File) -> Iterator[int]:
    """Yield where blocks may begin."""
    end, place = len(file), 0
    while place < end:
        piece = file.read(place, _PIECE + len(MARKER) - 1)
        at = piece.find(MARKER)
        while at >= 0:
            yield place + at
            at = piece.find(MARKER, at + 1)
        place += _PIECE
