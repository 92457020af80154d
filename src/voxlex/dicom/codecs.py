"""Decode the stored numbers of DICOM frames: with NumPy, or, if they are compressed, with pydicom (RLE) or GDCM.

Decoders get a bare copy with nothing but pixels in it, described as plain grey values of the full width, so that no
library takes a step that is taken here: turning "MONOCHROME1" round, slopes, palettes, or shifting bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from voxlex.dicom.file import BIG_ENDIAN, EXPLICIT, DicomFile, quiet
from voxlex.dicom.values import number, texts, whole
from voxlex.errors import DataError
from voxlex.files import workplace

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_RLE = "1.2.840.10008.1.2.5"
_RLE_RATIO = 64  # two bytes give at most 128
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT")
_DAMAGED = "its pixels cannot be decoded: damaged, cut short or compressed in an unknown way"
_PALETTES = ("Descriptor", "Data")


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


def check_memory(pixels: int, max_gigabytes: float, *, bytes_each: int) -> None:
    """Refuse a scan that would need too much memory.

    Raises:
        DataError: If it does.
    """
    gigabytes = pixels * bytes_each / 1e9
    if gigabytes > max_gigabytes:
        raise DataError(
            f"expected at most {max_gigabytes:g} GB of pixels, got {gigabytes:.3g} GB; "
            "a larger --reading.max-gigabytes (max_gigabytes of read_scan) allows more"
        )


def decode(file: DicomFile, pixels: PixelFormat, frames: Sequence[int], *, max_gigabytes: float) -> np.ndarray:
    """Decode frames to the numbers that are stored, with palettes applied.

    Args:
        file: The file.
        pixels: Its format.
        frames: Indices of the frames.
        max_gigabytes: Largest result, in gigabytes.

    Returns:
        `(frames, rows, columns, samples)`. Samples are 1 grey value or red, green and blue.

    Raises:
        DataError: If the frames cannot be decoded.
    """
    if file.is_compressed:
        check_memory(file.most, max_gigabytes, bytes_each=1)
    count = len(frames) * pixels.rows * pixels.columns * pixels.samples
    check_memory(count, max_gigabytes, bytes_each=max(1, pixels.allocated // 8))
    try:
        return _decoded(file, pixels, frames)
    except DataError:
        raise
    except MemoryError as cause:
        raise DataError("needs more memory than there is") from cause
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror or 'unknown cause'}") from cause
    except Exception:  # a decoder raises nearly anything, and may quote the file
        raise DataError(_DAMAGED) from None


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


def _decoded(file: DicomFile, pixels: PixelFormat, frames: Sequence[int]) -> np.ndarray:
    if not file.is_compressed:
        values = _native(file, pixels, frames)
        precision = None
    else:
        packed = _packed(file, pixels, frames)
        precision = _check_packed(file.syntax, packed, pixels)
        values = _unpacked(file.syntax, packed, pixels)
    values = values.reshape(len(frames), pixels.rows, pixels.columns, pixels.samples)
    if pixels.samples == 1 and pixels.keyword == "PixelData":
        values = _aligned(values, pixels, precision)
    return _coloured(values, file) if pixels.photometric == "PALETTE COLOR" else values


def _native(file: DicomFile, pixels: PixelFormat, frames: Sequence[int]) -> np.ndarray:
    bits = pixels.frame_bits
    if file.most * 8 < pixels.frames * bits:
        raise DataError(f"{_DAMAGED} ({file.most} of {-(-pixels.frames * bits // 8)} bytes)")
    content = file.pixel_bytes(-(-(max(frames) + 1) * bits // 8) + 1)  # a byte more in pairs of bytes
    if len(content) * 8 < (max(frames) + 1) * bits:
        raise DataError(_DAMAGED)
    if file.is_big_endian and pixels.allocated <= 8 and file.pixels is not None and file.pixels.vr != "OB":
        content = np.frombuffer(content[: len(content) // 2 * 2], "u2").byteswap().tobytes()
    if pixels.allocated == 1:
        found = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
        return np.stack([found[frame * bits : (frame + 1) * bits] for frame in frames])
    chosen = [content[frame * bits // 8 : (frame + 1) * bits // 8] for frame in frames]
    if pixels.samples > 1:
        return _with_pydicom(BIG_ENDIAN if file.is_big_endian else EXPLICIT, chosen, pixels)
    kind = "f" if pixels.keyword != "PixelData" else ("i" if pixels.signed else "u")
    stored = np.dtype(f"{'>' if file.is_big_endian else '<'}{kind}{pixels.allocated // 8}")
    return np.frombuffer(b"".join(chosen) if len(chosen) > 1 else chosen[0], stored).astype(stored.newbyteorder("="))


def _packed(file: DicomFile, pixels: PixelFormat, frames: Sequence[int]) -> list[bytes]:
    """Return the compressed frames."""
    from pydicom.encaps import generate_frames

    content = file.pixel_bytes(file.most)
    with quiet():
        wanted = set(frames)
        last = islice(generate_frames(content, number_of_frames=pixels.frames), max(frames) + 1)
        found = {index: frame for index, frame in enumerate(last) if index in wanted}
    return [found[frame] for frame in frames]


def _unpacked(syntax: str, packed: list[bytes], pixels: PixelFormat) -> np.ndarray:
    return _with_pydicom(syntax, packed, pixels) if syntax == _RLE else _with_gdcm(syntax, packed, pixels)


def _check_packed(syntax: str, packed: list[bytes], pixels: PixelFormat) -> int | None:
    """Refuse frames that are not what the header says before they are decoded. Return their bits, if they say so."""
    precision = None
    for frame in packed:
        if syntax == _RLE:
            if len(frame) * _RLE_RATIO * 8 < pixels.frame_bits:
                raise DataError(f"{_DAMAGED} ({len(frame)} bytes for {pixels.rows}×{pixels.columns} pixels)")
            continue
        found = _codestream(frame)
        if found is None:
            raise DataError(_DAMAGED)
        if (found.rows, found.columns, found.samples) != (pixels.rows, pixels.columns, pixels.samples):
            raise DataError(
                f"expected compressed pixels of {pixels.rows}×{pixels.columns}×{pixels.samples}, as Rows, Columns and "
                f"SamplesPerPixel say, got {found.rows}×{found.columns}×{found.samples}"
            )
        if found.bits > pixels.allocated:
            raise DataError(f"expected {pixels.allocated} bits, as BitsAllocated says, got {found.bits} bits")
        precision = max(found.bits, precision or 0)
    return precision


class _Codestream(NamedTuple):
    rows: int
    columns: int
    samples: int
    bits: int


def _codestream(frame: bytes) -> _Codestream | None:
    """Read the size that a JPEG, JPEG-LS or JPEG 2000 frame says it has."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0:
        field = [int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20)]
        samples = int.from_bytes(frame[start + 40 : start + 42], "big")
        return _Codestream(field[1] - field[3], field[0] - field[2], samples, (frame[start + 42] & 0x7F) + 1)
    if frame[:2] != b"\xff\xd8":
        return None
    for marker, place in _segments(frame):
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = (int.from_bytes(frame[place + at : place + at + 2], "big") for at in (3, 5))
            return _Codestream(rows, columns, frame[place + 7], frame[place + 2])
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


def _with_pydicom(syntax: str, frames: list[bytes], pixels: PixelFormat) -> np.ndarray:
    with quiet():
        return _bare(syntax, frames, pixels).pixel_array


def _with_gdcm(syntax: str, frames: list[bytes], pixels: PixelFormat) -> np.ndarray:
    import SimpleITK

    with workplace() as folder:
        path = folder / "pixels.dcm"
        with quiet():
            _bare(syntax, frames, pixels).save_as(path)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        return SimpleITK.GetArrayFromImage(reader.Execute())


def _bare(syntax: str, frames: list[bytes], pixels: PixelFormat) -> "FileDataset":
    """Return a file of frames with nothing else in it."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

    many = len(frames) > 1
    kind = MultiFrameGrayscaleWordSecondaryCaptureImageStorage if many else SecondaryCaptureImageStorage
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, "2.25.1"
    bare = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    bare.SOPClassUID, bare.SOPInstanceUID = kind, "2.25.1"
    grey = pixels.samples == 1
    bare.SamplesPerPixel, bare.PhotometricInterpretation = pixels.samples, "MONOCHROME2" if grey else pixels.photometric
    if not grey:
        bare.PlanarConfiguration = int(pixels.planar)
    if many:
        bare.NumberOfFrames = len(frames)
    bare.Rows, bare.Columns, bare.BitsAllocated = pixels.rows, pixels.columns, pixels.allocated
    bare.BitsStored = pixels.allocated if grey else pixels.stored
    bare.HighBit, bare.PixelRepresentation = bare.BitsStored - 1, int(pixels.signed)
    encapsulated = meta.TransferSyntaxUID.is_encapsulated
    content = encapsulate(frames) if encapsulated else b"".join(frames)
    bare.PixelData = content + bytes(len(content) % 2)
    bare["PixelData"].VR = "OB" if pixels.allocated <= 8 or encapsulated else "OW"
    bare["PixelData"].is_undefined_length = encapsulated
    return bare


def _aligned(values: np.ndarray, pixels: PixelFormat, precision: int | None) -> np.ndarray:
    """Keep the stored bits of numbers, and drop what lies above them, as old files keep overlays, and below them.

    Compressed numbers of no more bits than those stored are the numbers themselves.
    """
    width = max(8, pixels.allocated)
    numbers = values.astype(f"{'i' if pixels.signed else 'u'}{width // 8}", copy=False)
    at_right = precision is not None and precision <= pixels.stored
    above = width - pixels.stored if at_right else width - 1 - pixels.high
    if above == 0 and pixels.stored == width:
        return numbers
    return (numbers << above) >> (width - pixels.stored)


def _coloured(values: np.ndarray, file: DicomFile) -> np.ndarray:
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_color_lut

    palette = Dataset()
    for colour in ("Red", "Green", "Blue"):
        for part in _PALETTES:
            name = f"{colour}PaletteColorLookupTable{part}"
            if name not in file.dataset:
                raise DataError(f"expected a palette in {name}, got none: the tag is missing")
            palette[name] = file.dataset[name]
    palette.PhotometricInterpretation = "PALETTE COLOR"
    with quiet():
        return apply_color_lut(values[..., 0], palette)
