"""Mosaics of Siemens: the slices of a volume as tiles of one picture, described in a private header (CSA)."""

import struct
from collections.abc import Iterator
from math import ceil, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from voxlex.dicom.values import number, numbers
from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CSA_IMAGE_HEADER = 0x00291010
MOSAIC_TAGS = (_CSA_IMAGE_HEADER,)
"""Tags that describe mosaics."""

_MOST_ITEMS = 1000  # of an entry; scanners write some dozens
_NAME, _COUNT, _NORMAL = 64, "NumberOfImagesInMosaic", "SliceNormalVector"


class Mosaic(NamedTuple):
    """How the slices lie in the picture: row by row, in squares of `side` × `side` tiles, the last of which are empty.

    Attributes:
        slices: Number of slices.
        side: Tiles in a row, and in a column.
        rows: Rows of the picture.
        columns: Columns of the picture.
        step: From one slice to the next, in LPS+ mm.
    """

    slices: int
    side: int
    rows: int
    columns: int
    step: tuple[float, ...]

    def positions(
        self,
        position: tuple[float, ...] | None,
        orientation: tuple[float, ...] | None,
        spacing_mm: tuple[float, ...] | None,
    ) -> list[tuple[float, ...]]:
        """Return the position of the first pixel of each slice.

        The position in the file is that of a slice of the size of the whole mosaic, around the same centre.

        Args:
            position: Position in the file.
            orientation: Directions of rows and of columns in the file.
            spacing_mm: Distances between rows and between columns.

        Raises:
            DataError: If the file does not say where the mosaic lies.
        """
        if position is None or orientation is None or spacing_mm is None:
            tags = "ImagePositionPatient, ImageOrientationPatient and PixelSpacing"
            raise DataError(f"expected {tags} in a Siemens mosaic, got less")
        between_rows, between_columns = spacing_mm
        directions = np.array(orientation).reshape(2, 3)
        more_columns, more_rows = (length - length / self.side for length in (self.columns, self.rows))
        shift = directions[0] * between_columns * more_columns / 2 + directions[1] * between_rows * more_rows / 2
        first = np.array(position) + shift
        return [tuple((first + index * np.array(self.step)).tolist()) for index in range(self.slices)]

    def unpacked(self, picture: np.ndarray) -> np.ndarray:
        """Return the slices `(slices, rows, columns, samples)` of a picture `(rows, columns, samples)`."""
        rows, columns = self.rows // self.side, self.columns // self.side
        tiles = picture.reshape(self.side, rows, self.side, columns, -1).swapaxes(1, 2)
        return tiles.reshape(self.side**2, rows, columns, -1)[: self.slices]


def mosaic_of(dataset: "Dataset", *, rows: int, columns: int, frames: int) -> Mosaic:
    """Read how a mosaic is arranged.

    Raises:
        DataError: If the file does not say so.
    """
    what = "is a Siemens mosaic (ImageType), a volume in tiles"
    if frames > 1:
        raise DataError(f"{what}, of {frames} frames, which is not read; export it as an enhanced or a classic series")
    element = dataset.get_item(_CSA_IMAGE_HEADER)
    csa = element.value if element is not None and isinstance(element.value, bytes) else b""
    try:
        found = _entries(csa)
    except (struct.error, ValueError, IndexError, OverflowError):
        found = {}
    count, normal = found.get(_COUNT, []), found.get(_NORMAL, [])
    missing = [name for name, values, length in ((_COUNT, count, 1), (_NORMAL, normal, 3)) if len(values) != length]
    if missing:
        raise DataError(f"{what}, and its private header (0029,1010) does not hold {' and '.join(missing)}")
    images, spacing = int(count[0]), number(dataset, "SpacingBetweenSlices")
    if spacing is None or spacing <= 0:
        raise DataError(f"{what}, and expected a length above 0 in SpacingBetweenSlices, got none")
    side = ceil(sqrt(images)) if 0 < images <= rows * columns else 0
    if not side or rows % side or columns % side:
        raise DataError(f"{what}, and {images} slices do not fit {rows}×{columns} pixels in square tiles")
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        raise DataError(f"{what}, and its {_NORMAL} is not a direction")
    orientation = np.array(numbers(dataset, "ImageOrientationPatient"))
    if len(orientation) != 6 or abs(abs(np.cross(orientation[:3], orientation[3:]) @ normal) - 1) > 0.01:
        raise DataError(f"{what}, and its {_NORMAL} is not at right angles to ImageOrientationPatient")
    length = float(np.linalg.norm(normal))
    return Mosaic(images, side, rows, columns, tuple(value * spacing / length for value in normal))


def _entries(csa: bytes) -> dict[str, list[float]]:
    """Return the two entries that are needed of a private header, as numbers."""
    found: dict[str, list[float]] = {}
    for name, items in _items(csa):
        if name in (_COUNT, _NORMAL):
            found[name] = [float(item) for item in items if item]
    return found


def _items(csa: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield the entries of a private header: a name and texts.

    A newer header begins with "SV10". Each entry has a name of 64 bytes, five fields of 4 bytes, the fourth of which is
    the number of items, and the items, each after four numbers and filled up to a multiple of 4 bytes. The length of an
    item is the second of these numbers; in older headers, it is the first, less that of the first entry's items.
    """
    newer = csa[:4] == b"SV10"
    place = 8 if newer else 0
    (entries,) = struct.unpack_from("<I", csa, place)
    place += 8
    usual = None
    for _ in range(min(entries, _MOST_ITEMS)):
        name = csa[place : place + _NAME].split(b"\0")[0].decode("latin-1")
        _, _, _, count, _ = struct.unpack_from("<i4siii", csa, place + _NAME)
        usual = count if usual is None else usual
        place += _NAME + 20
        texts = []
        for _ in range(min(count, _MOST_ITEMS)):
            first, second, _, _ = struct.unpack_from("<4i", csa, place)
            length = second if newer else first - usual
            place += 16
            if not 0 <= length <= len(csa) - place:
                if newer:
                    raise ValueError(length)
                break
            texts.append(csa[place : place + length].split(b"\0")[0].decode("latin-1").strip())
            place += -(-length // 4) * 4
        yield name, texts
