"""Pictures of held-out images after each validation, in one small file that anybody may look at meanwhile."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pictures
from torch import Tensor
from torch.nn import functional

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.scans.formats.pictures import png_mark
from voxlex.types import Image

ABOUT = "voxlex-validations"
"""Name of the text in the header of the file, which says in JSON what its rows are."""

_SIDE = 256  # pixels that an image has at most
_IN_A_ROW = 8
_PIXELS_IN_A_ROW = 2**18
_MOST_ROWS = 12
_FIGURES = ("ssim", "psnr_db")

Grey = UInt8[np.ndarray, "b h w"]


class Shown(NamedTuple):
    """Held-out images and what a model makes of them, as small grey pictures; of volumes the middle plane."""

    originals: Grey
    results: Grey

    @classmethod
    def of(cls, originals: Image, results: Image) -> "Shown":
        """Make the pictures of a batch of images in [0, 1]."""
        return cls(_small(originals), _small(results))

    @classmethod
    def joined(cls, parts: "list[Shown]") -> "Shown":
        """Join the pictures of several batches, and keep a few, of the same images each time."""
        both = [np.concatenate(some) for some in zip(*parts, strict=True)]
        most = max(2, min(_IN_A_ROW, _PIXELS_IN_A_ROW // both[0][0].size))
        # Images at even distances could all be the lowest slice of their scan.
        chosen = np.sort(np.random.default_rng(0).permutation(len(both[0]))[:most])
        return cls(both[0][chosen], both[1][chosen])


def _small(images: Image) -> Grey:
    x: Tensor = images.detach().float()
    x = x if x.ndim == 4 else x[:, :, x.shape[2] // 2]
    x = x.mean(dim=1, keepdim=True).clamp(0, 1)
    if max(x.shape[2:]) > _SIDE:
        share = _SIDE / max(x.shape[2:])
        x = functional.interpolate(x, size=[max(1, round(side * share)) for side in x.shape[2:]], mode="area")
    pixels: np.ndarray = x[:, 0].mul(255).round().byte().cpu().numpy()
    return pixels


class Strip:
    """A PNG file with held-out images in its first row, and their reconstructions after each validation below.

    It is replaced as a whole after each validation. Of many validations every second is left out again and again, so
    that the file stays small. A training goes on if the file cannot be written, and a note says so once.

    Args:
        file: The file.
        resumed_step: Step from which training resumes. Rows of a file that is there stay up to this step.
        active: Whether to write. Of several processes, only the first one writes.
        note: Function that shows a line.
    """

    def __init__(
        self, file: Path, *, resumed_step: int = 0, active: bool = True, note: Callable[[str], None] | None = None
    ) -> None:
        self._file = file
        self._active = active
        self._note = note
        self._troubled = False
        self._rows: list[tuple[dict[str, Any], Grey]] = []
        if active and resumed_step:
            self._rows = [row for row in _read(file) if row[0]["step"] <= resumed_step]

    def add(self, shown: Shown | None, *, step: int, elapsed_s: float, figures: Mapping[str, float]) -> None:
        """Add the pictures of a validation, if there are any, and write the file."""
        if shown is None or not self._active:
            return
        self._rows = [row for row in self._rows if row[0]["step"] < step and row[1].shape == shown.results.shape]
        known = {name: figures[name] for name in _FIGURES if math.isfinite(figures.get(name, math.nan))}
        about = {name: float(f"{value:.5g}") for name, value in known.items()}
        self._rows.append(({"step": step, "elapsed_s": round(elapsed_s, 2), **about}, shown.results))
        if len(self._rows) > _MOST_ROWS:
            self._rows = self._rows[-1::-2][::-1]
        try:
            _write(self._file, shown.originals, self._rows)
        except DataError as cause:
            if not self._troubled and self._note is not None:
                self._note(f"{cause}; training goes on without it")
            self._troubled = True


def _write(file: Path, originals: Grey, rows: list[tuple[dict[str, Any], Grey]]) -> None:
    number, height, width = originals.shape
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in (originals, *(row for _, row in rows))])
    mark = png_mark()
    about = {"images": number, "height": height, "width": width, "rows": [about for about, _ in rows]}
    mark.add_text(ABOUT, json.dumps(about))
    with atomic_file(file, durable=False) as building:
        Pictures.fromarray(sheet).save(building, format="PNG", pnginfo=mark, compress_level=3)


def read_about(file: Path) -> dict[str, Any] | None:
    """Return what the rows of a file are: `images` in a row, their `height` and `width`, and a step for each row.

    Only the header is read. The result is None if there is no such file, or it is not one that `Strip` has written.
    """
    try:
        with Pictures.open(file, formats=["PNG"]) as picture:
            about = json.loads(picture.info[ABOUT])
            whole = (about["images"] * about["width"], (1 + len(about["rows"])) * about["height"])
            numbers = [row[name] for row in about["rows"] for name in row]
            known = all(
                type(row["step"]) is int and {*row} <= {"step", "elapsed_s", *_FIGURES} for row in about["rows"]
            )
            finite = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
            return about if picture.size == whole and about["rows"] and known and finite else None
    except (OSError, ValueError, KeyError, TypeError, SyntaxError):  # Pillow calls a broken PNG a syntax error
        return None


def _read(file: Path) -> list[tuple[dict[str, Any], Grey]]:
    about = read_about(file)
    if about is None:
        return []
    try:
        with Pictures.open(file, formats=["PNG"]) as picture:
            sheet = np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError):
        return []
    shape = (1 + len(about["rows"]), about["height"], about["images"], about["width"])
    return list(zip(about["rows"], sheet.reshape(shape).swapaxes(1, 2)[1:], strict=True))
