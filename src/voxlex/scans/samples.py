"""The numbers of a scan as its file stores them, with what places them in space, for exact copies.

A `Scan` holds grey values, which a slope and an intercept, a palette or colours may stand behind. `Samples` are what is
behind them. They hold nothing that identifies a person: of a header, only its numbers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from voxlex.errors import DataError


class _Mode(NamedTuple):
    dtype: str
    planes: int


MODES = {
    "1": _Mode("uint8", 1),
    "L": _Mode("uint8", 1),
    "P": _Mode("uint8", 1),
    "LA": _Mode("uint8", 2),
    "RGB": _Mode("uint8", 3),
    "RGBA": _Mode("uint8", 4),
    "I;16": _Mode("uint16", 1),
    "I": _Mode("int32", 1),
    "F": _Mode("float32", 1),
}
"""The type of the numbers and the number of planes of a picture, by Pillow's name for its kind."""

_LARGEST_PALETTE = 3 * 256


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """Numbers as a file stores them.

    Attributes:
        values: Of a picture `(h, w)`, or `(planes, h, w)` of one with colour or transparency. Of a volume, an array
            with the axes and the shape of its file.
        mode: One of `MODES` for a picture; "" for a volume.
        extra: For a volume, a NIfTI header of 348 or 540 bytes with the numbers that the file has there, and without
            text. For a picture of the mode "P", its palette: red, green and blue of each colour.

    Raises:
        DataError: If these do not belong together.
    """

    values: np.ndarray
    mode: str = ""
    extra: bytes = b""

    def __post_init__(self) -> None:
        """Refuse a picture that no file holds."""
        if not self.mode:
            return
        known = MODES.get(self.mode)
        if known is None:
            raise DataError(f"expected a picture of a kind that is known, got {self.mode!r}")
        axes = 2 if known.planes == 1 else 3
        fits = self.values.ndim == axes and (axes == 2 or len(self.values) == known.planes)
        if self.values.dtype.name != known.dtype or not fits or not self.values.size:
            raise DataError(f"expected a picture of the kind {self.mode}, got {self.values.dtype} {self.values.shape}")
        sound = 0 < len(self.extra) <= _LARGEST_PALETTE and len(self.extra) % 3 == 0
        if (not sound or 3 * int(self.values.max()) >= len(self.extra)) if self.mode == "P" else self.extra:
            raise DataError("expected a palette with every colour of a picture, got another")

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width of a picture, or the shape of a volume in its file."""
        return self.values.shape if self.is_volume else self.values.shape[-2:]

    @property
    def is_volume(self) -> bool:
        """Whether these are the numbers of a volume."""
        return not self.mode
