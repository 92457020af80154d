"""Draw reconstructions beside their originals, and sheets of samples.

Pixels are enlarged by whole numbers and never blurred, so that the pictures show exactly what the model made.
"""

import base64
import io
from collections.abc import Sequence
from functools import cache
from math import ceil, log
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from PIL import ImageFont
from PIL.Image import Image as Picture
from PIL.Image import Resampling, fromarray, new
from PIL.ImageDraw import Draw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from voxlex import metrics
from voxlex.files import atomic_file
from voxlex.names import printable
from voxlex.pages.views import as_column, as_row
from voxlex.scans.formats.pictures import png_mark
from voxlex.types import Image

DIFFERENCE_LIMIT = 0.1
"""Largest difference that colours show, as a share of the intensity range. It is fixed, so errors are comparable."""

HEADINGS = ("Original", "Reconstruction", "Difference")

# Black means no difference, as suits dark images. Colour-blind people can tell blue from orange, too.
_DIFFERENCE_STOPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
DIFFERENCE_COLOURS = ((160, 220, 255), (35, 115, 220), (0, 0, 0), (220, 90, 15), (255, 225, 130))

_BACKGROUND, _SEPARATOR, _TEXT = (0, 0, 0), (64, 64, 64), (225, 225, 225)
_GAP = 2
_MARGIN = 16
_LINE = 24
_FEW = 8  # so many images are shown larger
_SIDE, _SIDE_OF_FEW = 128, 256  # pixels that a tile should at least measure


def to_picture(image: Float[Tensor, "c *space"]) -> Picture:
    """Convert an image in [0, 1] with one channel (grey) or three (red, green, blue) to 8 bits for each channel.

    For a volume, the picture shows its middle slices side by side.
    """
    (image,) = as_row(image[None])
    if image.shape[0] not in (1, 3):
        raise ValueError(f"image: expected 1 or 3 channels, got {image.shape[0]}")
    pixels = image.detach().float().clamp(0, 1).mul(255).round().byte().cpu().movedim(0, -1).numpy()
    return fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)


def difference_picture(original: Float[Tensor, "c h w"], reconstruction: Float[Tensor, "c h w"]) -> Picture:
    """Return reconstruction − original in colours: black where equal, blue where too dark, orange where too bright."""
    signed = (reconstruction.detach().float() - original.detach().float()).mean(dim=0).cpu().numpy()  # over channels
    return fromarray(_difference_colours(signed / DIFFERENCE_LIMIT))


def triptych(
    original: Float[Tensor, "c *space"], reconstruction: Float[Tensor, "c *space"], *, scale: int = 1
) -> Picture:
    """Return original, reconstruction and difference side by side, each pixel `scale` pixels wide.

    For volumes, the picture shows their middle slices below one another.
    """
    (original,), (reconstruction,) = as_column(original[None]), as_column(reconstruction[None])
    tiles = (to_picture(original), to_picture(reconstruction), difference_picture(original, reconstruction))
    return _grid([_enlarged(tile, scale) for tile in tiles], columns=3)


def draw_reconstructions(originals: Image, reconstructions: Image, *, captions: Sequence[str] | None = None) -> Picture:
    """Draw each original with its reconstruction and their difference, and below them the colour scale.

    Args:
        originals: Images in [0, 1], `(b, c, h, w)`, or volumes `(b, c, d, h, w)`.
        reconstructions: What the model made of them.
        captions: A line below each row, such as `quality_captions` returns.
    """
    scale = _scale(originals)
    pairs = zip(originals, reconstructions, strict=True)
    rows = [triptych(original, reconstruction, scale=scale) for original, reconstruction in pairs]
    cells = _captioned(rows, captions)
    columns = _columns(len(cells), cells[0].size, aspect=1.4)
    tile = originals.shape[-1] * scale
    heading = _grid([_line(text, width=tile) for text in HEADINGS], columns=3, separator=_BACKGROUND)
    headings = _grid([heading] * columns, columns=columns, gap=_MARGIN, separator=_BACKGROUND)
    body = _grid(cells, columns=columns, gap=_MARGIN, separator=_BACKGROUND)
    return _framed([headings, body, difference_legend()])


def draw_samples(samples: Image, *, captions: Sequence[str] | None = None) -> Picture:
    """Draw images in a nearly square grid, each with its caption below.

    Args:
        samples: Images in [0, 1], `(b, c, h, w)`, or volumes `(b, c, d, h, w)`.
        captions: A word for each image, such as the class that it was drawn for.
    """
    scale = _scale(samples)
    tiles = [_enlarged(to_picture(sample), scale) for sample in samples]
    cells = _captioned(tiles, captions)
    return _grid(cells, columns=_columns(len(cells), cells[0].size, aspect=1.0))


def difference_legend() -> Picture:
    """Draw the colour scale of differences, with the meaning of its ends."""
    bar = fromarray(_difference_colours(np.tile(np.linspace(-1, 1, 128), (12, 1))))
    ends = (f"Reconstruction − original: −{DIFFERENCE_LIMIT:g} too dark", f"too bright +{DIFFERENCE_LIMIT:g}")
    words = [_line(text, width=ceil(_font().getlength(text)) + 16) for text in ends]
    legend = new("RGB", (words[0].width + bar.width + words[1].width, _LINE), _BACKGROUND)
    legend.paste(words[0], (0, 0))
    legend.paste(bar, (words[0].width, (_LINE - bar.height) // 2))
    legend.paste(words[1], (words[0].width + bar.width, 0))
    return legend


def quality_captions(originals: Image, reconstructions: Image, names: Sequence[str]) -> list[str]:
    """Return "name · SSIM 0.95 · PSNR 33.1 dB" for each image, with a non-breaking space before the unit."""
    ssim, psnr_db = metrics.ssim(reconstructions, originals), metrics.psnr_db(reconstructions, originals)
    figures = zip(names, ssim.tolist(), psnr_db.tolist(), strict=True)
    return [f"{name} · SSIM {s:.3f} · PSNR {p:.1f}\N{NO-BREAK SPACE}dB" for name, s, p in figures]


def reconstruction_sheet(
    path: str | Path, originals: Image, reconstructions: Image, *, captions: Sequence[str] | None = None
) -> None:
    """Write the picture of `draw_reconstructions` as PNG.

    Raises:
        DataError: If the file cannot be written.
    """
    _write_png(path, draw_reconstructions(originals, reconstructions, captions=captions))


def sample_sheet(path: str | Path, samples: Image, *, captions: Sequence[str] | None = None) -> None:
    """Write the picture of `draw_samples` as PNG.

    Raises:
        DataError: If the file cannot be written.
    """
    _write_png(path, draw_samples(samples, captions=captions))


def to_png(picture: Picture, *, mark: PngInfo | None = None) -> bytes:
    """Encode a picture as PNG, with a mark in its header if it becomes a file."""
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", pnginfo=mark)
    return encoded.getvalue()


def data_uri(picture: Picture) -> str:
    """Return a data URI that holds the picture, for a page that does not need other files."""
    return "data:image/png;base64," + base64.b64encode(to_png(picture)).decode("ascii")


def _write_png(path: str | Path, picture: Picture) -> None:
    encoded = to_png(picture, mark=png_mark())
    with atomic_file(path) as building:
        building.write_bytes(encoded)


def _difference_colours(signed: np.ndarray) -> np.ndarray:
    channels = zip(*DIFFERENCE_COLOURS, strict=True)
    return np.stack([np.interp(signed, _DIFFERENCE_STOPS, c) for c in channels], axis=-1).round().astype(np.uint8)


def _scale(images: Image) -> int:
    if len(images) == 0:
        raise ValueError("images: expected at least one, got none")
    side = _SIDE_OF_FEW if len(images) <= _FEW else _SIDE
    return ceil(side / max(images.shape[-2:]))


def _enlarged(picture: Picture, scale: int) -> Picture:
    return picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)


def _columns(count: int, cell: tuple[int, int], *, aspect: float) -> int:
    def misfit(columns: int) -> float:
        return abs(log(columns * cell[0] / (ceil(count / columns) * cell[1]) / aspect))

    return min(range(1, count + 1), key=misfit)


def _grid(
    cells: Sequence[Picture], *, columns: int, gap: int = _GAP, separator: tuple[int, int, int] = _SEPARATOR
) -> Picture:
    width, height = cells[0].size
    rows = ceil(len(cells) / columns)
    grid = new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), separator)
    for place in range(rows * columns):
        corner = (place % columns * (width + gap), place // columns * (height + gap))
        grid.paste(cells[place] if place < len(cells) else new("RGB", (width, height), _BACKGROUND), corner)
    return grid


def _framed(parts: Sequence[Picture]) -> Picture:
    """Put parts below one another, with a margin around all."""
    size = (max(part.width for part in parts), sum(part.height for part in parts) + _MARGIN * (len(parts) - 1))
    sheet = new("RGB", (size[0] + 2 * _MARGIN, size[1] + 2 * _MARGIN), _BACKGROUND)
    top = _MARGIN
    for part in parts:
        sheet.paste(part, (_MARGIN, top))
        top += part.height + _MARGIN
    return sheet


def _captioned(pictures: Sequence[Picture], captions: Sequence[str] | None) -> list[Picture]:
    if captions is None:
        return list(pictures)
    return [_with_line(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]


def _with_line(picture: Picture, text: str) -> Picture:
    both = new("RGB", (picture.width, picture.height + _LINE), _BACKGROUND)
    both.paste(picture, (0, 0))
    both.paste(_line(text, width=picture.width), (0, picture.height))
    return both


def _line(text: str, *, width: int) -> Picture:
    text = printable(text)
    line = new("RGB", (width, _LINE), _BACKGROUND)
    Draw(line).text((width / 2, _LINE / 2), _shortened(text, width=width), fill=_TEXT, font=_font(), anchor="mm")
    return line


def _shortened(text: str, *, width: int) -> str:
    # The end of a path tells files apart, and the figures stand at the end, too. So the start is cut off.
    kept = text
    while kept and _font().getlength(kept if kept == text else f"…{kept}") > width:
        kept = kept[1:]
    return kept if kept == text else f"…{kept}"


@cache
def _font() -> ImageFont.FreeTypeFont:
    # The font of matplotlib has every character that a file name or a figure may need.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size=13)
