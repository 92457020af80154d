"""Pictures with every number as their file stores it, colour and transparency included, by Pillow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from voxlex.config.options import Nan
from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.outputs import MARK
from voxlex.scans.formats.pictures import SAMPLE_BITS, SAMPLE_FORMAT, check_size, grey_of, opened_picture, png_mark
from voxlex.scans.samples import MODES, Samples
from voxlex.scans.scan import Scan, voxels_of
from voxlex.scans.suffixes import FORMATS

_DEPTH, _COLOUR_TYPE = 24, 25  # places in a PNG file
_TIFF_ONLY = ("I", "F")
_INTEGERS = {"uint8": "L", "uint16": "I;16", "int16": "I", "int32": "I", "float32": "F"}


def read_picture_samples(path: Path) -> Samples:
    """Read the numbers of a picture as they are stored, turned as its EXIF orientation says.

    Pictures of 1 bit are of the mode "1", and grey ones of 2 and 4 bits are brought to 8 bits, as all programs do.

    Raises:
        DataError: As `read_picture`, and if the numbers cannot be had as they are stored.
    """
    with opened_picture(path) as (file, image):
        check_size(image.size[1], image.size[0], pages=getattr(image, "n_frames", 1))
        image.load()
        file.seek(0)
        _check_png(file.read(_COLOUR_TYPE + 1), image) if isinstance(image, PngImageFile) else _check_tiff(image)
        ImageOps.exif_transpose(image, in_place=True)
        return _samples(image)


def samples_of_grey(pixels: np.ndarray) -> Samples:
    """Return grey pixels `(h, w)` that came from another kind of file as samples."""
    mode = _INTEGERS[pixels.dtype.name]
    return Samples(values=pixels.astype(MODES[mode].dtype, copy=False), mode=mode)


def grey_scan(samples: Samples, *, nan: Nan = "background") -> Scan:
    """Return the scan that reading the picture gives: colour becomes luminance, and transparency black."""
    pixels, missing = voxels_of(grey_of(_image(samples)), nan=nan)
    return Scan(voxels=pixels, missing=missing)


def write_picture_samples(path: Path, samples: Samples) -> None:
    """Write the numbers of a picture as they are, as PNG or TIFF, as the suffix says.

    Raises:
        DataError: If the format cannot hold them, or the file cannot be written.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind not in ("PNG", "TIFF") or (kind == "PNG" and samples.mode in _TIFF_ONLY):
        raise DataError(f"{path}: expected a file that holds these numbers as they are, got {path.suffix!r}")
    encoded = io.BytesIO()
    options: dict[str, Any] = {"pnginfo": png_mark()} if kind == "PNG" else {"description": MARK}
    _image(samples).save(encoded, format=kind, **options)
    with atomic_file(path, durable=False) as building:
        building.write_bytes(encoded.getbuffer())


def suffix_for(mode: str, suffix: str) -> str:
    """Return the suffix of the file that holds a picture as it is: its own, or that of PNG, or else of TIFF."""
    if suffix in (".tif", ".tiff"):
        return suffix
    return ".tif" if mode in _TIFF_ONLY else ".png"


def _check_png(start: bytes, image: ImageFile) -> None:
    depth, colour = start[_DEPTH], start[_COLOUR_TYPE]
    if depth == 16 and colour != 0:
        raise DataError("expected 16-bit grey or colour of 8 bits, got 16-bit colour, which is read with 8 bits")
    if image.info.get("transparency") is not None:
        raise DataError("expected transparency as a plane of its own, got a transparent colour; save it as RGBA")


def _check_tiff(image: ImageFile) -> None:
    if not isinstance(image, TiffImageFile):
        return
    bits, sort = max(image.tag_v2.get(SAMPLE_BITS, (1,))), max(image.tag_v2.get(SAMPLE_FORMAT, (1,)))
    inverted = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0 and bits > 8
    held = {"I": (32, 2), "F": (32, 3)}.get(image.mode)
    sound = (bits, sort) == held if held else sort == 1 and bits <= (16 if image.mode.startswith("I;16") else 8)
    if not sound or inverted:
        raise DataError(f"expected numbers that TIFF files of this program have, got {bits}-bit ones of another kind")
    planes = image.tag_v2.get(ExifTags.Base.SamplesPerPixel, 1)
    if image.mode in MODES and planes > MODES[image.mode].planes:  # Pillow leaves out those that it has no name for
        raise DataError(f"expected grey, RGB or transparency, got {planes} numbers for each pixel; drop the others")


def _samples(image: Image.Image) -> Samples:
    deep = image.mode.startswith("I;16") or (image.mode == "I" and isinstance(image, PngImageFile))
    mode = "I;16" if deep else image.mode
    if mode not in MODES:
        raise DataError(f"expected grey, RGB or a palette, got a picture of the kind {image.mode}; convert it first")
    values = np.asarray(image).astype(MODES[mode].dtype)
    extra = bytes(image.getpalette("RGB") or ()) if mode == "P" else b""
    return Samples(values=values if values.ndim == 2 else values.transpose(2, 0, 1), mode=mode, extra=extra)


def _image(samples: Samples) -> Image.Image:
    values = samples.values if samples.values.ndim == 2 else samples.values.transpose(1, 2, 0)
    if samples.mode == "1":
        return Image.fromarray(values * np.uint8(255)).convert("1", dither=Image.Dither.NONE)
    image = Image.fromarray(np.ascontiguousarray(values))
    if samples.mode == "P":
        image = image.copy()
        image.putpalette(samples.extra, "RGB")
    return image
