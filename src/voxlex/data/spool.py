"""Images on disk, between the order in which they are decoded and the order in which they are stored."""

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from voxlex.duplicates.thumbnails import COLUMNS, ROWS, thumbnail


class Spool:
    """An append-only file of canvases or cubes, so that a data set larger than memory can be prepared.

    Plain reads and writes, not a memory map: a full disk then is an `OSError`, and not the end of the process.
    """

    def __init__(self, file: BinaryIO, *, shape: tuple[int, ...]) -> None:
        self._file = file
        self._shape = shape
        self._entries: list[tuple[int, np.dtype]] = []
        self._thumbnails: list[np.ndarray] = []

    def append(self, pixels: np.ndarray) -> None:
        """Add an image of the spool's shape, of `uint8` or `uint16`."""
        self._entries.append((self._file.tell(), pixels.dtype))
        self._file.write(pixels.tobytes())
        self._thumbnails.append(thumbnail(pixels).astype(np.float16))

    def thumbnails(self) -> np.ndarray:
        """A small picture of each canvas, `(n, 32, 34)` of `float16`, to compare them by."""
        return np.stack(self._thumbnails) if self._thumbnails else np.zeros((0, ROWS, COLUMNS), np.float16)

    def write_array(self, path: Path, *, order: np.ndarray) -> None:
        """Write the images in `order` as one array `(n, 1, *shape)`, an NPY file.

        The array is `uint8`, or `uint16` if any image is; 8-bit images then are widened so that white stays white.
        """
        deep = any(dtype == np.uint16 for _, dtype in self._entries)
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        with path.open("wb") as target:
            np.lib.format.write_array_header_1_0(target, {**header, "shape": (len(order), 1, *self._shape)})
            for index in order.tolist():
                pixels = self._read(index)
                target.write((pixels.astype(dtype) * 257 if pixels.dtype != dtype else pixels).tobytes())

    def _read(self, index: int) -> np.ndarray:
        offset, dtype = self._entries[index]
        self._file.seek(offset)
        count = math.prod(self._shape)
        return np.frombuffer(self._file.read(count * dtype.itemsize), dtype).reshape(self._shape)
