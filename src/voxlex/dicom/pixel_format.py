"""How the pixels of a DICOM file are stored, and whether compressed frames keep to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from voxlex.dicom.file import DicomFile
from voxlex.dicom.values import number, texts, whole
from voxlex.errors import DataError

RLE = "1.2.840.10008.1.2.5"
"""Transfer syntax of run-length encoding."""

DAMAGED = "its pixels cannot be decoded: damaged, cut short or compressed in an unknown way"
"""Message for pixels of which no more is known."""

_RLE_RATIO = 64  # two bytes give at most 128
_JPEG_RATIO, _WAVELET_RATIO = 2000, 20_000  # pixels of a byte; a bit holds at most a block of JPEG
_ALWAYS = 1 << 22  # pixels that any compressed frame may have
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """How the pixels of a file are stored.

    Attributes:
        keyword: "PixelData", "FloatPixelData" or "DoubleFloatPixelData".
        photometric: Photometric interpretation.
        samples: Samples of each pixel, 1 or 3.
        planar: Whether samples follow one another plane by plane.
        frames: Number of frames.
        rows: Rows of a frame.
        columns: Columns of a frame.
        allocated: Bits of each sample.
        stored: Bits of these that hold the number.
        high: Position of the highest of these.
        signed: Whether numbers may be negative.
    """

    keyword: str
    photometric: str
    samples: int
    planar: bool
    frames: int
    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def frame_bits(self) -> int:
        """Bits of an uncompressed frame."""
        halved = self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422")
        return self.rows * self.columns * (2 if halved else self.samples) * self.allocated

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest number that can be stored."""
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)


def format_of(file: DicomFile) -> PixelFormat:
    """Read how the pixels of a file are stored.

    Raises:
        DataError: If a tag is missing, or does not make sense.
    """
    dataset, keyword = file.dataset, file.pixels.keyword if file.pixels else "PixelData"
    photometric = "".join(texts(dataset, "PhotometricInterpretation")).upper()
    samples, allocated = whole(dataset, "SamplesPerPixel"), whole(dataset, "BitsAllocated")
    if samples not in (1, 3):
        raise DataError(f"expected 1 or 3 in SamplesPerPixel, got {samples}")
    if photometric not in (_GREY if samples == 1 else _COLOURS):
        known = ", ".join(_GREY if samples == 1 else _COLOURS)
        got = "nothing: the tag is missing or empty" if not photometric else "something else"
        raise DataError(f"expected one of {known} in PhotometricInterpretation, got {got}")
    widths = {"FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}.get(keyword, (1, 8, 16, 32))
    if allocated not in widths:
        raise DataError(f"expected {' or '.join(map(str, widths))} in BitsAllocated, got {allocated}")
    stored, high, signed = allocated, allocated - 1, False
    if keyword == "PixelData":
        stored, high, signed = _bits(file, allocated)
    return PixelFormat(
        keyword=keyword,
        photometric=photometric,
        samples=samples,
        planar=samples > 1 and number(dataset, "PlanarConfiguration") == 1,
        frames=whole(dataset, "NumberOfFrames") if texts(dataset, "NumberOfFrames") else 1,
        rows=whole(dataset, "Rows"),
        columns=whole(dataset, "Columns"),
        allocated=allocated,
        stored=stored,
        high=high,
        signed=signed,
    )


def check_packed(syntax: str, packed: list[bytes], pixels: PixelFormat) -> int | None:
    """Refuse frames that are not what the header says before they are decoded. Return their bits, if they say so."""
    precision = None
    for frame in packed:
        if syntax == RLE:
            if len(frame) * _RLE_RATIO * 8 < pixels.frame_bits:
                raise DataError(f"{DAMAGED} ({len(frame)} bytes for {pixels.rows}×{pixels.columns} pixels)")
            continue
        found = _codestream(frame)
        if found is None:
            raise DataError(DAMAGED)
        if (found.rows, found.columns, found.samples) != (pixels.rows, pixels.columns, pixels.samples):
            raise DataError(
                f"expected compressed pixels of {pixels.rows}×{pixels.columns}×{pixels.samples}, as Rows, Columns and "
                f"SamplesPerPixel say, got {found.rows}×{found.columns}×{found.samples}"
            )
        ratio = _JPEG_RATIO if found.is_jpeg else _WAVELET_RATIO
        if found.rows * found.columns > max(_ALWAYS, ratio * len(frame)):
            raise DataError(f"{DAMAGED} ({len(frame)} bytes for {pixels.rows}×{pixels.columns} pixels)")
        if found.bits > pixels.allocated:
            raise DataError(f"expected {pixels.allocated} bits, as BitsAllocated says, got {found.bits} bits")
        precision = max(found.bits, precision or 0)
    return precision


class _Codestream(NamedTuple):
    rows: int
    columns: int
    samples: int
    bits: int
    is_jpeg: bool


def _codestream(frame: bytes) -> _Codestream | None:
    """Read the size that a JPEG, JPEG-LS or JPEG 2000 frame says it has."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0:
        field = [int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20)]
        samples = int.from_bytes(frame[start + 40 : start + 42], "big")
        return _Codestream(field[1] - field[3], field[0] - field[2], samples, (frame[start + 42] & 0x7F) + 1, False)
    if frame[:2] != b"\xff\xd8":
        return None
    for marker, place in _segments(frame):
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = (int.from_bytes(frame[place + at : place + at + 2], "big") for at in (3, 5))
            return _Codestream(rows, columns, frame[place + 7], frame[place + 2], marker != 0xF7)
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a JPEG frame, and the place of the length after each."""
    place = 2
    while place + 4 <= len(frame):
        if frame[place] != 0xFF:
            return
        if frame[place + 1] == 0xFF:  # filling
            place += 1
            continue
        yield frame[place + 1], place + 2
        place += 2 + max(2, int.from_bytes(frame[place + 2 : place + 4], "big"))


def _bits(file: DicomFile, allocated: int) -> tuple[int, int, bool]:
    stored, sign = whole(file.dataset, "BitsStored"), whole(file.dataset, "PixelRepresentation")
    if sign not in (0, 1):
        raise DataError(f"expected 0 or 1 in PixelRepresentation, got {sign}")
    if not 1 <= stored <= allocated:
        raise DataError(f"expected 1 to {allocated} in BitsStored, as BitsAllocated says, got {stored}")
    high = allocated - 1 if stored == allocated else whole(file.dataset, "HighBit")
    if not stored - 1 <= high < allocated:
        raise DataError(f"expected {stored - 1} to {allocated - 1} in HighBit, got {high}")
    return stored, high, sign == 1
