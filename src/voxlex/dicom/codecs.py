"""Decode the stored numbers of DICOM frames: with NumPy, or, if they are compressed, with pydicom (RLE) or GDCM.

Decoders get a bare copy with nothing but pixels in it, described as plain grey values of the full width, so that no
library takes a step that is taken here: turning "MONOCHROME1" round, slopes, palettes, or shifting bits.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from voxlex.dicom.file import BIG_ENDIAN, EXPLICIT, DicomFile, quiet
from voxlex.dicom.pixel_format import DAMAGED, RLE, PixelFormat, check_packed
from voxlex.errors import DataError
from voxlex.files import workplace

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_COMPLAINTS = (b"Corrupt JPEG", b"Premature end", b"premature end", b"Bogus", b"Invalid JPEG")
_MOST_SAID = 1 << 16
_one_at_a_time = Lock()
_PALETTES = ("Descriptor", "Data")


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
        if cause.errno is None:
            raise DataError(DAMAGED) from None
        raise DataError(f"cannot be read: {cause.strerror}") from cause
    except Exception:  # a decoder raises nearly anything, and may quote the file
        raise DataError(DAMAGED) from None


def _decoded(file: DicomFile, pixels: PixelFormat, frames: Sequence[int]) -> np.ndarray:
    if not file.is_compressed:
        values = _native(file, pixels, frames)
        precision = None
    else:
        packed = _packed(file, pixels, frames)
        precision = check_packed(file.syntax, packed, pixels)
        values = _unpacked(file.syntax, packed, pixels)
    values = values.reshape(len(frames), pixels.rows, pixels.columns, pixels.samples)
    if pixels.samples == 1 and pixels.keyword == "PixelData":
        values = _aligned(values, pixels, precision)
    return _coloured(values, file) if pixels.photometric == "PALETTE COLOR" else values


def _native(file: DicomFile, pixels: PixelFormat, frames: Sequence[int]) -> np.ndarray:
    bits = pixels.frame_bits
    if file.most * 8 < pixels.frames * bits:
        raise DataError(f"{DAMAGED} ({file.most} of {-(-pixels.frames * bits // 8)} bytes)")
    content = file.pixel_bytes(-(-(max(frames) + 1) * bits // 8) + 1)  # a byte more in pairs of bytes
    if len(content) * 8 < (max(frames) + 1) * bits:
        raise DataError(DAMAGED)
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
    return _with_pydicom(syntax, packed, pixels) if syntax == RLE else _with_gdcm(syntax, packed, pixels)


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
        with _silent() as said:
            image = reader.Execute()
        if said.complains:
            raise DataError(DAMAGED)
        return SimpleITK.GetArrayFromImage(image)


class _Said:
    """What decoders written in C have said on standard error."""

    complains = False


@contextmanager
def _silent() -> Iterator[_Said]:
    """Catch what decoders written in C say on standard error, such as that data end early, which they fill with grey.

    Standard error belongs to the process, so threads take turns.
    """
    said = _Said()
    with _one_at_a_time, TemporaryFile() as place:
        try:
            usual = os.dup(2)
        except OSError:  # there is no standard error
            yield said
            return
        os.dup2(place.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(usual, 2)
            os.close(usual)
            place.seek(0)
            text = place.read(_MOST_SAID)
            said.complains = any(phrase in text for phrase in _COMPLAINTS)


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
