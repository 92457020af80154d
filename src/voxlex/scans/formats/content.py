"""The content of files: of regular files only, unpacked if it is packed, and never more than a header claims.

A file is known by its first bytes and not by its name, so a packed `.nii` and a plain `.nii.gz` are read. Nothing is
taken into memory before it is clear how much it will be.
"""

import bz2
import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.gzipped import decompress

_GZIP = b"\x1f\x8b"
_START = 1024
_PIECE = 1 << 20
_LAYERS = 2  # some programs pack a file that is packed already
_DEFLATE = 1032  # one packed byte cannot hold more than this many
_FAR_PACKED, _SHARE_OF_EMPTY = 200, 1 / 8
_SLACK = 1 << 20  # bytes that may follow the voxels: padding, extensions

_KINDS = (
    (b"\x1f\x8b", "a file packed with gzip more than twice"),
    (b"BZh", "a file packed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "a file packed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a rar archive; unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with `git lfs pull`"),
    (b"/annex/objects/", "a pointer of git-annex; fetch the file itself with `git annex get`"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"NRRD", "an NRRD file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"CDF", "a NetCDF file"),
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a Parquet table"),
    (b"ObjectType", "a MetaImage file"),
    (b"<?xml", "an XML document"),
)


def check_regular(path: Path) -> int:
    """Return the size of a file in bytes. Reading a pipe would wait for ever, and a device may never end.

    Raises:
        DataError: If there is no such file, or it is not a regular file.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: expected a file, got a folder")
    if not stat.S_ISREG(status.st_mode):
        kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
        kind = next((name for fits, name in kinds if fits(status.st_mode)), "a device")
        raise DataError(f"{path}: expected a regular file, got {kind}")
    return status.st_size


def check_held(size: int, *, packed: int, layers: int = 1) -> None:
    """Refuse at once what a file cannot hold.

    Args:
        size: Length of the content that its header claims, in bytes.
        packed: Length of the file.
        layers: How many times it is packed.

    Raises:
        DataError: If no file of this length holds so much.
    """
    if packed * _DEFLATE**layers < size:
        raise DataError(f"is damaged or cut short: its header claims {size:,} bytes, and {packed:,} are there")


def check_beside(path: Path, header: Path) -> None:
    """Refuse a file that a header names unless it is a regular file in the folder of the header.

    Headers come from others, and could otherwise have any file of the reader's shown as voxels.

    Raises:
        DataError: If the file lies elsewhere, if only by way of a link, is missing, or is not regular.
    """
    if Path(os.path.realpath(path)).parent != Path(os.path.realpath(header.parent)):
        raise DataError("names a file that does not lie in its own folder; only files beside the header are read")
    try:
        check_regular(path)
    except DataError as cause:
        reason = str(cause).removeprefix(f"{path}: ")
        raise DataError(f"names {path.name!r} as the file of its voxels: {reason}") from None


def kind_of(start: bytes) -> str:
    """Say what kind of file begins with these bytes."""
    if not start:
        return "an empty file"
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    if start[128:132] == b"DICM":
        return "a DICOM file"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps instead of a download that failed"
    if not set(start) - set(range(32, 127)) - set(b"\t\r\n"):
        return "text"
    if not any(start):
        return "zeros, perhaps of a download that was cut off"
    return "something else"


def check_memory(size: int, *, max_gigabytes: float, packed: int | None = None) -> None:
    """Refuse to read what needs more memory than is allowed, or than half of what the machine has.

    A file that is packed to less than a two-hundredth may hold an eighth of that: no scan of many gigabytes is so
    empty, and unpacking it would take minutes.

    Args:
        size: Length of the voxels, in bytes, that a header claims.
        max_gigabytes: The most that is allowed.
        packed: Length of the packed file; None if it is not packed.

    Raises:
        DataError: If `size` is more.
    """
    empty = packed is not None and size > _FAR_PACKED * packed
    allowed = max_gigabytes * (_SHARE_OF_EMPTY if empty else 1)
    if size > allowed * 1e9:
        how = f" in a file of {(packed or 0) / 1e6:,.1f} MB" if empty else ""
        raise DataError(
            f"its header claims {size / 1e9:,.1f} GB of voxels{how}, and at most {allowed:g} GB are read; if the file "
            f"is sound, allow more with --reading.max-gigabytes {_enough(size / 1e9 * max_gigabytes / allowed)} "
            "(max_gigabytes in Python)"
        )
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    if machine and size > machine / 2:
        raise DataError(
            f"its header claims {size / 1e9:,.1f} GB of voxels, more than half of the memory of this machine"
        )


def _enough(gigabytes: float) -> str:
    return f"{math.ceil(gigabytes):d}" if gigabytes < 1e6 else "N"


@dataclass
class Unpacked:
    """An open file, seen without its packing.

    Attributes:
        file: The open file.
        path: Its path.
        size: Its size on the disk in bytes.
        start: The first bytes of the content.
        layers: How many times it is packed.
    """

    file: BufferedIOBase
    path: Path
    size: int
    start: bytes = b""
    layers: int = 0

    def rewound(self) -> BufferedIOBase:
        """Return a stream from the beginning of the content."""
        self.file.seek(0)
        stream: BufferedIOBase = self.file
        for _ in range(self.layers):
            stream = gzip.GzipFile(fileobj=stream, mode="rb")
        return stream

    def take(self, start: int, size: int, *, total: int, max_gigabytes: float) -> np.ndarray:
        """Return a part of the content as bytes.

        Args:
            start: Where the part begins.
            size: Length of the part.
            total: Length that the content has, as its header claims. It may be longer by a little.
            max_gigabytes: Most memory to take.

        Raises:
            DataError: If this would take too much memory, or the content is shorter than `total`, or much longer.
        """
        if self.layers:
            check_memory(total, max_gigabytes=max_gigabytes, packed=self.size)
        else:
            check_memory(size, max_gigabytes=max_gigabytes)
        check_held(start + size if not self.layers else total, packed=self.size, layers=self.layers)
        if not self.layers:
            self.file.seek(start)
            return filled(self.file, size)
        if self.size > total + total // 100 + _SLACK:
            raise DataError(f"is damaged: its header claims {total:,} bytes, and {self.size:,} packed ones are there")
        whole = decompress(self.path, size=total) if self.layers == 1 else None
        if whole is not None:
            return np.frombuffer(whole, np.uint8)[start : start + size]
        stream = self.rewound()
        _skip(stream, start)
        part = filled(stream, size)
        _skip(stream, total - start - size)
        # Only at the end are length and checksum compared.
        if _skip(stream, _SLACK, short=True) == _SLACK and stream.read(1):
            raise DataError(f"is damaged: its header claims {total:,} bytes, and far more are packed in it")
        return part


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """Open a regular file, and see through its packing by gzip.

    Raises:
        DataError: If it is not a regular file, cannot be read, or its packing is damaged.
    """
    size = check_regular(path)
    try:
        with path.open("rb") as file:
            found = Unpacked(file, path, size)
            found.start = file.read(_START)
            while found.start.startswith(_GZIP) and found.layers < _LAYERS:
                found.layers += 1
                found.start = found.rewound().read(_START)
            yield found
    except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
        raise DataError(f"{path}: the compressed file is damaged or cut short") from cause
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause


def inflated(file: BufferedIOBase, size: int, *, method: str = "zlib") -> np.ndarray:
    """Unpack the rest of an open file.

    Args:
        file: The file, at the beginning of what is packed.
        size: Number of bytes that are packed in it.
        method: "zlib", which also stands for gzip, or "bzip2".

    Raises:
        DataError: If it is damaged, or shorter.
    """
    unpacker: Any = zlib.decompressobj(wbits=47) if method == "zlib" else bz2.BZ2Decompressor()
    content = np.empty(size, np.uint8)
    done, packed = 0, b""
    try:
        while done < size and not unpacker.eof:
            if method == "zlib":
                packed = unpacker.unconsumed_tail or file.read(_PIECE)
            else:
                packed = file.read(_PIECE) if unpacker.needs_input else b""
                if unpacker.needs_input and not packed:
                    break
            piece = unpacker.decompress(packed, min(_PIECE, size - done))
            if not packed and not piece:
                break
            content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
            if unpacker.eof and unpacker.unused_data and done < size:  # several parts after one another
                packed, rest = b"", unpacker.unused_data
                unpacker = zlib.decompressobj(wbits=47) if method == "zlib" else bz2.BZ2Decompressor()
                piece = unpacker.decompress(rest, size - done)
                content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
                done += len(piece)
        if done == size and method == "zlib" and not unpacker.eof:  # the checksum stands at the end
            unpacker.decompress(unpacker.unconsumed_tail or file.read(_PIECE), _SLACK)
    except (zlib.error, OSError) as cause:
        raise DataError("is damaged or cut short: its packed voxels cannot be unpacked") from cause
    if done < size:
        raise DataError(f"is damaged or cut short: {size:,} bytes of voxels were expected, and {done:,} are there")
    return content


def filled(stream: BufferedIOBase, size: int) -> np.ndarray:
    """Read the next `size` bytes; fewer are an error."""
    content = np.empty(size, np.uint8)
    view, done = memoryview(content.data), 0
    while done < size:
        piece = stream.readinto(view[done : done + _PIECE])
        if not piece:
            raise DataError(f"is damaged or cut short: {size:,} bytes of voxels were expected, and {done:,} are there")
        done += piece
    return content


def _skip(stream: BufferedIOBase, size: int, *, short: bool = False) -> int:
    """Read over some bytes; with `short`, there may be fewer. Return how many there were."""
    done = 0
    while done < size:
        piece = len(stream.read(min(_PIECE, size - done)))
        if not piece:
            if short:
                break
            raise DataError("is damaged or cut short")
        done += piece
    return done
