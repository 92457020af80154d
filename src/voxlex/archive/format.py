"""The bytes of an archive: blocks with a checksum each, a header, and an index at the end; see docs/archive.md.

Nothing here knows a model. Numbers are little-endian; `varint` is the variable-length integer of Protocol Buffers.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from voxlex.codes import CodeLayout
from voxlex.errors import ArchiveError

MAGIC = b"\x89VXL\r\n\x1a\n"
VERSION = 2
"""The newest version. Archives whose scans all are codes alone are of version 1, which older programs read."""

PRELUDE_SIZE = len(MAGIC) + 2
MARKER = b"\xf5VX\x1e"
"""The first bytes of each block, by which blocks are found in a damaged archive."""

HEADER, TABLES, MODEL, RECORD, INDEX = b"HTMRI"
"""Kinds of blocks."""

TAIL = struct.Struct("<Q8s4s")
TAIL_MARK = b"VXL\x04"

_DIGEST = 8
_LONGEST_NUMBER = 10  # bytes of a varint
_LARGEST_INDEX = 2**31


def prelude(version: int) -> bytes:
    """Return the first bytes of an archive."""
    return MAGIC + struct.pack("<H", version)


class Cursor:
    """Reads numbers and bytes one after the other, and refuses to go beyond the end.

    Raises:
        ArchiveError: In each method, if the bytes end before, or are not what is asked for.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self.content) - self.at

    def take(self, count: int) -> bytes:
        """Read some bytes."""
        if not 0 <= count <= self.left:
            raise ArchiveError(f"expected {count} bytes more, got {self.left}")
        self.at += count
        return self.content[self.at - count : self.at]

    def byte(self) -> int:
        """Read a byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Read a number."""
        value = 0
        for place in range(_LONGEST_NUMBER):
            byte = self.byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ArchiveError("expected a number, got more bytes than a number has")

    def doubles(self, count: int) -> list[float]:
        """Read floating-point numbers."""
        return list(struct.unpack(f"<{count}d", self.take(8 * count)))

    def data(self) -> bytes:
        """Read bytes after their number."""
        return self.take(self.varint())

    def text(self) -> str:
        """Read text after the number of its bytes."""
        try:
            return self.data().decode("utf-8")
        except UnicodeDecodeError as cause:
            raise ArchiveError("expected text in UTF-8, got other bytes") from cause

    def end(self) -> None:
        """Refuse bytes that are left."""
        if self.left:
            raise ArchiveError(f"expected an end, got {self.left} bytes more")


def varint(value: int) -> bytes:
    """Return a number from 0 as bytes: seven bits in each, the lowest first; all but the last have the highest bit."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def data(content: bytes) -> bytes:
    """Return bytes after their number."""
    return varint(len(content)) + content


def text(words: str) -> bytes:
    """Return text in UTF-8 after the number of its bytes."""
    return data(words.encode("utf-8"))


class Block(NamedTuple):
    """A block of an archive.

    Attributes:
        kind: One of `HEADER`, `TABLES`, `MODEL`, `RECORD` and `INDEX`.
        payload: What it holds.
        size: Bytes that it takes in the file.
    """

    kind: int
    payload: bytes
    size: int


def block(kind: int, payload: bytes, *, salt: bytes = b"") -> bytes:
    """Return the bytes of a block; the salt ties it to the header of its archive, and is empty for the header."""
    head = MARKER + bytes([kind]) + varint(len(payload))
    return head + payload + _checksum(kind, payload, salt)


def read_block(content: bytes, start: int = 0, *, salt: bytes = b"") -> Block:
    """Read the block that begins at `start`.

    Raises:
        ArchiveError: If there is none, it is cut, or its checksum is another one.
    """
    cursor = Cursor(content)
    cursor.at = start
    kind, length = block_head(cursor)
    payload = cursor.take(length)
    if cursor.take(_DIGEST) != _checksum(kind, payload, b"" if kind == HEADER else salt):
        raise ArchiveError("expected the bytes of the checksum, got others: damaged")
    return Block(kind, payload, cursor.at - start)


def block_head(cursor: Cursor) -> tuple[int, int]:
    """Read the kind of a block, and the length of its payload."""
    if cursor.take(len(MARKER)) != MARKER:
        raise ArchiveError("expected the beginning of a block, got something else: damaged")
    return cursor.byte(), cursor.varint()


LONGEST_HEAD = len(MARKER) + 1 + _LONGEST_NUMBER


def size_of_block(length: int) -> int:
    """Return how many bytes a block with a payload of this length takes."""
    return len(MARKER) + 1 + len(varint(length)) + length + _DIGEST


def _checksum(kind: int, payload: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(bytes([kind]) + payload, digest_size=_DIGEST, key=salt).digest()


@dataclass(frozen=True, kw_only=True)
class Header:
    """What all records of an archive share.

    Attributes:
        model: Fingerprint of the decoder that gives the codes their meaning; see `code_table.decoder_fingerprint`.
        tables: Fingerprint of the tables.
        coder: The coder that records are written with, "table" or "prior"; a record may use another.
        channels: Channels of an image.
        space: Sides of the images that the model was trained on.
        layouts: Layout of the codes of such an image, coarsest first. Of the codebooks only those that are kept count.
        folders: Beginnings that many names share, such as "patients/".
        prior: With the coder "prior", the fingerprint of the prior, and the numbers that it computes with.
        conditions: With an archive that holds a prior, the description of its conditions.
        made_by: The version of voxlex that made the archive.
    """

    model: str
    tables: str
    coder: str
    channels: int
    space: tuple[int, ...]
    layouts: tuple[CodeLayout, ...]
    folders: tuple[str, ...] = ()
    prior: dict[str, str] = field(default_factory=dict)
    conditions: list[Any] = field(default_factory=list)
    made_by: str = ""

    def to_bytes(self) -> bytes:
        """Return the payload of the header's block: JSON, compressed by zlib."""
        return zlib.compress(json.dumps(asdict(self), sort_keys=True).encode(), 9)

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Header":
        """Read the payload of a header.

        Raises:
            ArchiveError: If it is not one.
        """
        try:
            content = json.loads(unpacked(payload))
            layouts = tuple(
                CodeLayout(
                    num_embeddings=int(own["num_embeddings"]),
                    num_codebooks=int(own["num_codebooks"]),
                    grid=tuple(int(side) for side in own["grid"]),
                )
                for own in content.pop("layouts")
            )
            space = tuple(int(side) for side in content.pop("space"))
            folders = tuple(str(folder) for folder in content.pop("folders"))
            header = cls(**content, layouts=layouts, space=space, folders=folders)
            if not layouts or len({len(layout.grid) for layout in layouts}) != 1 or len(layouts[0].grid) != len(space):
                raise ValueError("layouts of several numbers of axes")
            return header
        except (ValueError, KeyError, TypeError, RecursionError) as cause:
            raise ArchiveError(f"expected the header of an archive, got something else: {cause}") from cause


def unpacked(payload: bytes, *, at_most: int = _LARGEST_INDEX) -> bytes:
    """Return bytes that zlib has compressed, up to so many.

    Raises:
        ArchiveError: If they are damaged, or more.
    """
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(payload, at_most)
    except zlib.error as cause:
        raise ArchiveError("expected bytes that zlib can unpack, got others") from cause
    if not unpacker.eof:
        raise ArchiveError("expected all of what zlib has packed, got a part")
    return content


class Entry(NamedTuple):
    """A record in the index: its name, where its block begins, and how many bytes the block takes."""

    name: str
    start: int
    size: int


def index_to_bytes(entries: Sequence[Entry]) -> bytes:
    """Return the payload of the index: for each record its name, the bytes before its block, and those of its block."""
    words, end = [varint(len(entries))], 0
    for entry in entries:
        words += [text(entry.name), varint(entry.start - end), varint(entry.size)]
        end = entry.start + entry.size
    return zlib.compress(b"".join(words), 9)


def index_from_bytes(payload: bytes) -> list[Entry]:
    """Read the payload of an index.

    Raises:
        ArchiveError: If it is not one.
    """
    cursor = Cursor(unpacked(payload))
    entries, end = [], 0
    for _ in range(cursor.varint()):
        entries.append(Entry(cursor.text(), end + cursor.varint(), cursor.varint()))
        end = entries[-1].start + entries[-1].size
    cursor.end()
    return entries


def tail(index_start: int) -> bytes:
    """Return the last bytes of an archive, which say where its index begins."""
    start = struct.pack("<Q", index_start)
    return TAIL.pack(index_start, hashlib.blake2b(start, digest_size=8).digest(), TAIL_MARK)


def index_start(content: bytes) -> int | None:
    """Read the last bytes of an archive; None if they are not the end of one."""
    if len(content) != TAIL.size:
        return None
    start, checksum, mark = TAIL.unpack(content)
    sound = mark == TAIL_MARK and checksum == hashlib.blake2b(struct.pack("<Q", start), digest_size=8).digest()
    return start if sound else None
