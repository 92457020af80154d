"""PNG, JPEG and TIFF pictures to grey pixels and back, by Pillow."""

import io
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import TiffImageFile

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.suffixes import FORMATS

MAX_PIXELS = 178_000_000
"""Pictures with more pixels than this are taken for decompression bombs."""

MIN_SIDE = 8
"""Pictures with a side shorter than this many pixels hold nothing to learn from."""

_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"II*\x00": TiffImageFile,
    b"MM\x00*": TiffImageFile,
    b"II+\x00": TiffImageFile,
    b"MM\x00+": TiffImageFile,
}


class Picture(NamedTuple):
    """Grey pixels `(h, w)`, and the height and width of the file, which a reduced decoding undercuts."""

    pixels: np.ndarray
    height: int
    width: int


def read_picture(path: Path, *, reduce_to: int | None = None) -> Picture:
    """Decode a picture to grey.

    Colour becomes luminance (ITU-R 601), transparency becomes black, 1-bit and palette pictures become 8-bit grey, and
    an EXIF orientation is applied. 16-bit grey stays `uint16`, 32-bit integers `int32`, floats `float32`; 16-bit colour
    has 8 bits.

    Args:
        path: A PNG, JPEG or TIFF file; its content tells which, not its suffix.
        reduce_to: Side in pixels of the canvas the picture is meant for. A JPEG of four times that size or more is then
            decoded at a fraction of its resolution, never below twice that size, which takes a fraction of the time.

    Raises:
        DataError: If the file is missing, empty, damaged, not a picture, a decompression bomb, of several pages, too
            small, or holds pixels that are not finite.
    """
    try:
        with path.open("rb") as file, _open(file) as image:
            return _decode(image, reduce_to=reduce_to)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: no such file") from cause
    except Exception as cause:  # a damaged file makes decoders raise nearly anything
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise DataError(f"{path}: cannot be decoded: {reason}") from cause


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
            file.seek(0)
            return reader(file)
    raise DataError("is not a PNG, JPEG or TIFF picture")


def _decode(image: ImageFile, *, reduce_to: int | None) -> Picture:
    width, height = image.size
    _check_size(height, width, pages=getattr(image, "n_frames", 1))
    if isinstance(image, JpegImageFile):
        # Asking for "L" makes the decoder hand out its luminance channel and skip the colour.
        image.draft("L", image.size if reduce_to is None else (2 * reduce_to, 2 * reduce_to))
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # 5 to 8: lying on its side
        height, width = width, height
    ImageOps.exif_transpose(image, in_place=True)
    pixels = _grey(image)
    bad = np.count_nonzero(~np.isfinite(pixels)) if pixels.dtype.kind == "f" else 0
    if bad:
        raise DataError(f"{bad} of {pixels.size} pixels are not finite numbers")
    return Picture(pixels, height, width)


def _check_size(height: int, width: int, *, pages: int) -> None:
    if height * width > MAX_PIXELS:
        raise DataError(f"expected at most {MAX_PIXELS:,} pixels, got {height}×{width}: taken for a decompression bomb")
    if min(height, width) < MIN_SIDE:
        raise DataError(f"expected at least {MIN_SIDE}×{MIN_SIDE} pixels, got {height}×{width}")
    if pages > 1:
        raise DataError(f"expected one page, got {pages}; save each as an image of its own")


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        return pixels if _white_is_high(image) else np.uint16(65535) - pixels
    if image.mode in ("I", "F"):
        return np.array(image)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.array(image.convert("L"))


def _white_is_high(image: Image.Image) -> bool:
    # Pillow turns 8-bit TIFF pictures stored as "white is zero" the usual way round, but not those of 16 bits.
    if not isinstance(image, TiffImageFile):
        return True
    return image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) != 0
