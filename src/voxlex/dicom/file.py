"""Open a DICOM file: its tags, and where its pixels lie. Pixels are read, or inflated, only up to a known length."""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedIOBase, BytesIO
from pathlib import Path
from stat import S_ISREG
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

from voxlex.dicom.tags import TAGS
from voxlex.dicom.values import texts
from voxlex.errors import DataError, LeftOutError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
"""Transfer syntaxes without compressed pixels."""

_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_UNDEFINED = 0xFFFFFFFF
_PEEK, _SHORT, _DIGITS = 1 << 14, 200, b"0123456789.+-eE\\ \0"
_SMALL = 1 << 20  # bytes of a file that is read whole
_MAX_READS, _READS_OF_A_FRAME = 100_000, 600  # of a header; scanners write far less
_LEAST_FRAME = 4096  # bytes of a frame with its header, to know how many a file can have at most
_HEADERS = (1 << 20, 1 << 26)  # bytes of a deflated file that are searched for its pixels
_MAX_RATIO = 1032  # of deflating
_one_at_a_time = RLock()


class NoImageError(LeftOutError):
    """A sound DICOM file that does not hold an image: a report, a plan, a directory."""


class PixelElement(NamedTuple):
    """The element with the pixels of a file.

    Attributes:
        keyword: Its keyword.
        vr: Its representation; None where the file does not say.
        offset: Place of the first byte of its value.
        length: Length of its value; None if it is compressed.
    """

    keyword: str
    vr: str | None
    offset: int
    length: int | None


@dataclass(frozen=True, eq=False, kw_only=True)
class DicomFile:
    """The tags of a DICOM file that voxlex reads, and the place of its pixels.

    Attributes:
        path: The file.
        size: Its length in bytes.
        dataset: Its tags.
        syntax: UID of its transfer syntax.
        pixels: The element with its pixels; None if there is none.
        deflated_from: First byte of what is deflated; None if nothing is.
    """

    path: Path
    size: int
    dataset: "Dataset"
    syntax: str
    pixels: PixelElement | None
    deflated_from: int | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether the pixels are compressed."""
        return self.syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)

    @property
    def is_big_endian(self) -> bool:
        """Whether numbers begin with their highest byte."""
        return self.syntax == BIG_ENDIAN

    @property
    def most(self) -> int:
        """The largest number of bytes that the pixels can have."""
        if self.pixels is None:
            return 0
        if self.deflated_from is not None:
            there = (self.size - self.deflated_from) * _MAX_RATIO
        else:
            there = self.size - self.pixels.offset
        return there if self.pixels.length is None else min(there, self.pixels.length)

    def pixel_bytes(self, limit: int) -> bytes:
        """Read the value of the pixel element, or its first `limit` bytes.

        Raises:
            OSError: If the file cannot be read.
        """
        if self.pixels is None:
            return b""
        length = min(limit, self.most)
        with self.path.open("rb") as file:
            if self.deflated_from is not None:
                file.seek(self.deflated_from)
                return _inflate(file, self.pixels.offset + length)[self.pixels.offset :]
            file.seek(self.pixels.offset)
            return file.read(length)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, whose warnings quote the file. Warnings belong to the process, so threads take turns."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_dicom(path: Path) -> DicomFile:
    """Read the tags of a file that are used (`TAGS`). All other tags and the pixels stay in the file.

    Raises:
        NoImageError: If the file does not hold an image.
        DataError: If the file is missing, is not a DICOM file, or is damaged.
    """
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise DataError("expected a regular file, got a pipe, a device or the like")
        with path.open("rb") as file, quiet():
            opened = _opened(path, file, status.st_size)
    except DataError:
        raise
    except _TooLongError:
        raise DataError("its header holds more elements than any scanner writes") from None
    except FileNotFoundError:
        raise DataError("no such file") from None
    except OSError as cause:
        if cause.errno is None:  # pydicom raises it for damaged files
            raise DataError("is not a DICOM file, or is damaged or cut short") from None
        raise DataError(f"cannot be read: {cause.strerror}") from cause
    except Exception:  # pydicom raises nearly anything, and quotes the file
        raise DataError("is not a DICOM file, or is damaged or cut short") from None
    _check_image(opened)
    return opened


def peek(path: Path) -> tuple[bytes, bytes] | None:
    """Read the series and the direction of a slice from the first bytes of a file, without reading its header.

    Returns:
        Both as they stand in the file, only to be compared with those of other files; None if they are not found.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_PEEK)
    except OSError:
        return None
    series, direction = _value_of(content, b"\x20\x00\x0e\x00"), _value_of(content, b"\x20\x00\x37\x00")
    return (series, direction) if series and direction else None


def _value_of(content: bytes, tag: bytes) -> bytes:
    """Find a short value of digits in the header of a file whose numbers begin with their lowest byte."""
    place = content.find(tag)
    if place < 0:
        return b""
    short = content[place + 4 : place + 6] in (b"UI", b"DS", b"IS")
    length = int.from_bytes(content[place + 6 : place + 8] if short else content[place + 4 : place + 8], "little")
    value = content[place + 8 : place + 8 + length]
    return value if 0 < length <= _SHORT and not value.strip(_DIGITS) else b""


class _DeflatedError(Exception):
    """The rest of the file is deflated, from the current place on."""


class _TooLongError(Exception):
    """A header of more elements than any scanner writes."""


class _Header:
    """What pydicom reads of a file; it ends the reading where the pixels begin, and where a header has no end."""

    def __init__(self, file: BufferedIOBase, size: int) -> None:
        self._file = file
        self._left = _MAX_READS + _READS_OF_A_FRAME * min(_claimed_frames(file), size // _LEAST_FRAME)
        self.seek, self.tell = file.seek, file.tell
        self.pixels: PixelElement | None = None

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # only to inflate the rest
            raise _DeflatedError
        self._left -= 1
        if self._left < 0:
            raise _TooLongError
        return self._file.read(size)

    def is_at_pixels(self, tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            self.pixels = PixelElement(_PIXELS[tag], vr, self.tell(), None if length == _UNDEFINED else length)
        return tag in _PIXELS


def _claimed_frames(file: BufferedIOBase) -> int:
    """Find the number of frames that the beginning of a file claims."""
    place = file.tell()
    content = file.read(_PEEK)
    file.seek(place)
    value = _value_of(content, b"\x28\x00\x08\x00").strip(b" \0")
    return int(value) if value.isdigit() and len(value) < 12 else 1


def _opened(path: Path, file: BufferedIOBase, size: int) -> DicomFile:
    from pydicom.filereader import read_partial

    # pydicom reads a few bytes at a time, which files are slow at.
    header = _Header(BytesIO(file.read()) if size <= _SMALL else file, size)
    try:
        dataset = read_partial(header, stop_when=header.is_at_pixels, force=True, specific_tags=_tag_numbers())
    except _DeflatedError:
        file.seek(header.tell())
        return _opened_deflated(path, file, size)
    syntax = "".join(texts(dataset.file_meta, "TransferSyntaxUID"))
    if not syntax:  # a file without preamble
        implicit, little = dataset.original_encoding
        syntax = IMPLICIT if implicit else (EXPLICIT if little else BIG_ENDIAN)
    return DicomFile(path=path, size=size, dataset=dataset, syntax=syntax, pixels=header.pixels)


def _opened_deflated(path: Path, file: BufferedIOBase, size: int) -> DicomFile:
    from pydicom.filereader import read_dataset

    start = file.tell()
    for limit in _HEADERS:
        file.seek(start)
        content = _inflate(file, limit)
        header = _Header(BytesIO(content), len(content))
        dataset = read_dataset(header, False, True, stop_when=header.is_at_pixels, specific_tags=_tag_numbers())
        if header.pixels is not None or len(content) < limit:
            break
    else:
        raise DataError(f"its header is longer than {_HEADERS[-1] >> 20} MB")
    return DicomFile(path=path, size=size, dataset=dataset, syntax=DEFLATED, pixels=header.pixels, deflated_from=start)


@lru_cache
def _tag_numbers() -> list[int]:
    from pydicom.tag import Tag

    return [Tag(tag) for tag in TAGS]


def _inflate(file: BufferedIOBase, limit: int) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    parts, left = [], limit
    while left > 0 and not inflate.eof:
        packed = inflate.unconsumed_tail or file.read(1 << 16)
        if not packed:
            break
        parts.append(inflate.decompress(packed, left))
        left -= len(parts[-1])
    return b"".join(parts)


def _holds(dataset: "Dataset", tag: str) -> bool:
    element = dataset.get_item(tag)
    return element is not None and element.value not in (None, b"", "")


def _check_image(file: DicomFile) -> None:
    from pydicom.uid import UID

    dataset = file.dataset
    missing = [tag for tag in ("Rows", "Columns") if not _holds(dataset, tag)]
    if not missing and file.pixels is not None:
        return
    meta = getattr(dataset, "file_meta", None)
    kind = UID("".join(texts(dataset, "SOPClassUID") or (texts(meta, "MediaStorageSOPClassUID") if meta else [])))
    if kind and ("Image" not in kind.name or "Spectroscopy" in kind.name) and file.pixels is None:
        raise NoImageError("is a DICOM file without an image")
    if kind and missing and file.pixels is not None:
        raise DataError(
            f"expected a number of pixels in {' and '.join(missing)}, got none: the tag is missing or empty"
        )
    if kind and not missing:
        raise DataError("expected pixels in PixelData, got none: the tag is missing, or the file is cut short")
    raise DataError("is not a DICOM file, or is damaged or cut short")
