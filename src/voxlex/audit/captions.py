"""Detect text that is burnt into an image, by small bright strokes in a row near the border."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Num

_STROKE = 5  # pixels; in an image of 224 pixels, strokes of letters are narrower
_CONTRAST = 0.25  # least share of the image's range by which a stroke is brighter than what surrounds it
_BACKGROUND = 0.12  # largest share of the range that lies behind a letter
_BAND = 0.16  # share of a side that counts as near the border
_LETTERS = 5  # this many letters in a row are suspected to be text


def captioned(pixels: Num[np.ndarray, "h w"]) -> bool:
    """Tell whether text seems to be burnt into an image.

    A white top-hat (the image less its opening by a square) leaves what is bright and no wider than a stroke of a
    letter. Its connected parts near the border and on a dark ground count if they are as high as letters, each as so
    many letters as fit its width. Five or more letters of one height that stand close together on one line are
    suspected to be text. Anatomy that reaches the border in small bright pieces can be mistaken for text. Text over the
    head, large text and single letters ("R") are missed.
    """
    from scipy.ndimage import find_objects, label

    low, high = float(pixels.min()), float(pixels.max())
    span = max(high - low, 1e-9)
    picture = pixels if pixels.dtype == np.uint8 else ((pixels - low) * (255 / span)).astype(np.uint8)
    darkest, span = int(picture.min()), int(picture.max()) - int(picture.min())
    side = max(pixels.shape)
    ground = _opened(picture, max(3, round(_STROKE * side / 224) | 1))
    strokes = (picture - ground > max(_CONTRAST * span, 12)) & (ground <= darkest + _BACKGROUND * span)
    _clear_middle(strokes)
    if np.count_nonzero(strokes) < 10 * _LETTERS:
        return False
    parts = []
    for rows, columns in find_objects(label(strokes, structure=np.ones((3, 3)))[0]):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if 0.018 * side <= height <= 0.06 * side and 2 <= width <= 0.3 * side:
            parts.append(_Part(rows.stop, columns.start, columns.stop, height, max(1, round(width / height))))
    return _longest_line(parts) >= _LETTERS


class _Part:
    """A connected part of the strokes: one letter, or several that touch."""

    def __init__(self, bottom: int, left: int, right: int, height: int, letters: int) -> None:
        self.bottom, self.left, self.right, self.height, self.letters = bottom, left, right, height, letters

    def goes_on_with(self, other: "_Part") -> bool:
        level = abs(other.bottom - self.bottom) <= max(1, self.height // 4)
        alike = abs(other.height - self.height) <= max(2, self.height // 3)
        return level and alike and 0 <= other.left - self.right <= self.height


def _longest_line(parts: list[_Part]) -> int:
    best = 0
    parts = sorted(parts, key=lambda part: part.left)
    for number, part in enumerate(parts):
        end, letters, pieces = part, part.letters, 1
        for other in parts[number + 1 :]:
            if end.goes_on_with(other):
                end, letters, pieces = other, letters + other.letters, pieces + 1
        best = max(best, letters if pieces >= 3 else 0)
    return best


def _clear_middle(strokes: Bool[np.ndarray, "h w"]) -> None:
    rows, columns = (round(_BAND * n) for n in strokes.shape)
    strokes[rows:-rows, columns:-columns] = False


def _opened(picture: np.ndarray, width: int) -> np.ndarray:
    """Open a picture by a square. Minima of shifted views are about forty times faster than a general filter."""
    eroded = _extreme(picture, width, np.minimum)
    return _extreme(eroded, width, np.maximum)


def _extreme(picture: np.ndarray, width: int, choose: Callable[..., np.ndarray]) -> np.ndarray:
    padded = np.pad(picture, width // 2, mode="edge")
    for _ in range(2):  # along columns, then, transposed, along rows
        length = len(padded) - width + 1
        chosen = padded[:length]
        for shift in range(1, width):
            chosen = choose(chosen, padded[shift : shift + length])
        padded = np.ascontiguousarray(chosen.T)
    return padded
