"""PNG, JPEG and TIFF pictures to grey pixels and back, by Pillow."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from voxlex.config.options import Nan
from voxlex.errors import DataError, naming
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.formats.content import check_regular, kind_of
from voxlex.scans.scan import voxels_of
from voxlex.scans.suffixes import FORMATS

MAX_PIXELS = 178_000_000
"""Pictures with more pixels than this are taken for decompression bombs."""

MIN_SIDE = 8
"""Pictures with a side shorter than this many pixels hold nothing to learn from."""


SAMPLE_BITS, SAMPLE_FORMAT = 258, 339
"""Tags of a TIFF file."""


_EIGHT_BITS = ("LA", "RGB", "RGBA", "RGBX", "CMYK")  # modes of Pillow that hold the upper 8 bits of 16
_FEW_LEVELS = 64

_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"II*\x00": TiffImageFile,
    b"MM\x00*": TiffImageFile,
    b"II+\x00": TiffImageFile,
    b"MM\x00+": TiffImageFile,
}


class Picture(NamedTuple):
    """Grey pixels, and the height and width of the file, which a reduced decoding undercuts.

    Attributes:
        pixels: Grey values `(h, w)`.
        height: Height of the file in pixels.
        width: Width of the file in pixels.
        missing: Where the file holds no finite number; None if every pixel has one. See `Scan.missing`.
    """

    pixels: np.ndarray
    height: int
    width: int
    missing: np.ndarray | None = None


def read_picture(path: Path, *, reduce_to: int | None = None, nan: Nan = "error") -> Picture:
    """Decode a picture to grey.

    Colour becomes luminance (ITU-R 601), transparency becomes black, 1-bit and palette pictures become 8-bit grey, and
    an EXIF orientation is applied. 16-bit grey stays `uint16`, floats `float32`, other integers become the next of
    `VOXEL_TYPES`. Of 16-bit colour, and 16-bit grey with transparency, the upper 8 bits are read, if they are not too
    few. White stored as zero is turned round.

    Args:
        path: A PNG, JPEG or TIFF file; its content tells which, not its suffix.
        reduce_to: Side in pixels of the canvas the picture is meant for. A JPEG of four times that size or more is then
            decoded at a fraction of its resolution, never below twice that size, which takes a fraction of the time.
        nan: What pixels that are not finite mean; see `voxels_of`.

    Raises:
        DataError: If the file is missing, not regular, empty, damaged, not a picture, a decompression bomb, of several
            pages, too small, of a type of pixels that is not read, or holds pixels that are not finite or dark 16-bit
            colour.
    """
    with opened_picture(path) as (_, image):
        return _decode(image, reduce_to=reduce_to, nan=nan)


@contextmanager
def opened_picture(path: Path) -> Iterator[tuple[BinaryIO, ImageFile]]:
    """Open a picture, and turn what is raised while it is decoded into errors that name it.

    Yields:
        The file, at its beginning, and the picture.

    Raises:
        DataError: See `read_picture`.
    """
    with naming(path):
        check_regular(path)
        try:
            with path.open("rb") as file, _open(file) as image:
                yield file, image
        except (DataError, MemoryError):
            raise
        except OSError as cause:
            reason = cause.strerror or "it is damaged or cut short"
            raise DataError(f"cannot be decoded: {reason}") from cause
        except Exception as cause:  # a damaged file makes decoders raise nearly anything
            raise DataError("cannot be decoded: it is damaged or cut short") from cause


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write grey pixels `(h, w)` as the format that the suffix of `path` names.

    There are no metadata, but for the mark of the program in a PNG file.

    Raises:
        DataError: If the suffix is unknown, the format cannot hold the pixels' type, or the file cannot be written.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: expected one of the suffixes {', '.join(FORMATS)}, got {path.suffix!r}")
    fitting = {"PNG": ("uint8", "uint16"), "JPEG": ("uint8",), "TIFF": ("uint8", "uint16", "int32", "float32")}[kind]
    if pixels.ndim != 2 or pixels.dtype.name not in fitting:
        found = f"{pixels.dtype} {pixels.shape}"
        raise DataError(f"{path}: expected grey pixels (h, w) of {' or '.join(fitting)} for {kind}, got {found}")
    encoded = io.BytesIO()
    options: dict[str, dict[str, Any]] = {"PNG": {"pnginfo": png_mark()}, "JPEG": {"quality": 95}}
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format=kind, **options.get(kind, {}))
    with atomic_file(path, durable=False) as building:
        building.write_bytes(encoded.getbuffer())


def png_mark() -> PngInfo:
    """Return what tells in the header of a PNG file that the program made it."""
    mark = PngInfo()
    mark.add_text("Comment", MARK)
    return mark


def _open(file: BinaryIO) -> ImageFile:
    # Image.open would judge bombs by a process-wide limit and report them through process-wide warning filters, neither
    # of which a library with threads may touch. Opening by signature keeps the limit ours.
    start = file.read(8)
    if not start:
        raise DataError("the file is empty (zero bytes)")
    for signature, reader in _READERS.items():
        if start.startswith(signature):
            if reader is TiffImageFile:
                _check_numbers(file, start)
            file.seek(0)
            return reader(file)
    found = kind_of(start + file.read(1024))
    more = "" if found == "something else" else f", got {found}"
    raise DataError(f"is not a PNG, JPEG or TIFF picture{more}")


def _check_numbers(file: BinaryIO, start: bytes) -> None:
    """Name the types of pixels of a TIFF file that cannot be read; Pillow would only say that it does not know them."""
    try:
        tags = ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        bits, sorts = tags.get(SAMPLE_BITS, (1,)), tags.get(SAMPLE_FORMAT, (1,))
        white_is_low = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    except Exception:  # reading the picture reports the damage
        return
    bits, sort = max(bits), max(sorts)
    name = {1: "unsigned integers", 2: "integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}.get(sort)
    known = {1: (1, 2, 4, 8, 12, 16, 32), 2: (8, 16, 32), 3: (32,)}.get(sort, ())
    if name and bits not in known:
        raise DataError(f"expected pixels of 8, 16 or 32 bits, got {bits}-bit {name}; save it as 32-bit floats")
    if white_is_low and (bits > 16 or sort != 1):
        raise DataError("stores white as zero, and does not say which number is black; save it the usual way round")


def _decode(image: ImageFile, *, reduce_to: int | None, nan: Nan) -> Picture:
    width, height = image.size
    check_size(height, width, pages=getattr(image, "n_frames", 1))
    if isinstance(image, JpegImageFile):
        # Asking for "L" makes the decoder hand out its luminance channel and skip the colour.
        image.draft("L", image.size if reduce_to is None else (2 * reduce_to, 2 * reduce_to))
    halved = image.mode in _EIGHT_BITS and any(";16" in str(tile[3]) for tile in image.tile)
    image.load()
    signed, deep = _numbers_of(image)
    if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # 5 to 8: lying on its side
        height, width = width, height
    ImageOps.exif_transpose(image, in_place=True)
    pixels, missing = voxels_of(grey_of(image, signed=signed, deep=deep), nan=nan)
    if halved and 0 < pixels.max() < _FEW_LEVELS:
        raise DataError(
            f"holds 16-bit colour with values below {_FEW_LEVELS << 8:,}, of which the 8 bits that are read keep "
            f"{int(pixels.max()) + 1}; save it as 16-bit grey"
        )
    return Picture(pixels, height, width, missing)


def check_size(height: int, width: int, *, pages: int) -> None:
    """Refuse pictures that are too large, too small, or of several pages."""
    if height * width > MAX_PIXELS:
        raise DataError(f"expected at most {MAX_PIXELS:,} pixels, got {height}×{width}: taken for a decompression bomb")
    if min(height, width) < MIN_SIDE:
        raise DataError(f"expected at least {MIN_SIDE}×{MIN_SIDE} pixels, got {height}×{width}")
    if pages > 1:
        raise DataError(f"expected one page, got {pages}; save each as an image of its own")


def _numbers_of(image: ImageFile) -> tuple[bool, bool]:
    """Tell whether a TIFF file holds signed integers, and whether it holds unsigned ones of 32 bits."""
    if not isinstance(image, TiffImageFile):
        return False, False
    signed = max(image.tag_v2.get(SAMPLE_FORMAT, (1,))) == 2
    return signed, not signed and max(image.tag_v2.get(SAMPLE_BITS, (1,))) == 32


def grey_of(image: Image.Image, *, signed: bool = False, deep: bool = False) -> np.ndarray:
    """Return grey pixels `(h, w)` of an open picture, whose numbers may be signed, or unsigned ones of 32 bits."""
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        return pixels if _white_is_high(image) else np.uint16(65535) - pixels
    if image.mode in ("I", "F"):
        pixels = np.array(image)
        return pixels.view(np.uint32) if deep and image.mode == "I" else pixels
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    pixels = np.array(image.convert("L"))
    return pixels.view(np.int8) if signed else pixels


def _white_is_high(image: Image.Image) -> bool:
    # Pillow turns 8-bit TIFF pictures stored as "white is zero" the usual way round, but not those of 16 bits.
    if not isinstance(image, TiffImageFile):
        return True
    return image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) != 0
