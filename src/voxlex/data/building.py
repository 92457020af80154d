"""Build a prepared data set from images that come one by one: spool them to disk, divide, order, store, describe."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from voxlex.data.dataset import (
    IMAGES_FILE,
    PreparedDataset,
    Skip,
    fingerprint_of,
    split_order,
    with_all_columns,
    write_tables,
)
from voxlex.data.division import divide
from voxlex.duplicates.thumbnails import COLUMNS, ROWS, thumbnail
from voxlex.files import atomic_folder
from voxlex.images.frame import Frame


class Spool:
    """An append-only file of images, so that a data set larger than memory can be prepared.

    Images come in the order in which they are decoded, and are stored in that of their splits. Plain reads and writes
    serve here, not a memory map: a full disk then is an `OSError`, and not the end of the process.
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
        """Return a small picture of each image, `(n, 32, 34)` of `float16`, to compare them by."""
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


Fill = Callable[[Spool], tuple[pd.DataFrame, list[Skip]]]
"""Appends images to a spool; returns a table with a row for each, and what was left out."""


def build(
    folder: str | Path,
    frame: Frame,
    *,
    fill: Fill,
    seed: int,
    name: str,
    options: dict[str, Any],
    compare: bool = True,
    allow_leak: bool = False,
) -> PreparedDataset:
    """Make a prepared data set in a folder, which appears whole or not at all.

    Rows that must stay together get one `group`, see `division.divide`.

    Args:
        folder: Where the data set is written; it must not exist.
        frame: What all the images have in common.
        fill: Called once, to append the images. Its table has all `COLUMNS`, where those that only volumes need may be
            missing, and others that are kept. Without a column `split` it is divided here.
        seed: Seed of the division into splits.
        name: Short name of the source.
        options: What the images depend on, beside their size and the seed.
        compare: Look for near-duplicates, and keep them together.
        allow_leak: Take a split that the table brings as it is, even if subjects or near-duplicates cross it.

    Raises:
        DataError: If the folder exists or cannot be written, or the table's split leaks.
    """
    with atomic_folder(folder) as building:
        scratch = building / "scratch"
        with scratch.open("w+b") as file:
            spool = Spool(file, shape=frame.shape)
            manifest, skipped = fill(spool)
            thumbnails = spool.thumbnails() if compare else None
            manifest, facts = divide(manifest, thumbnails, seed=seed, name=name, allow_leak=allow_leak)
            order = split_order(list(manifest["split"]))
            spool.write_array(building / IMAGES_FILE, order=order)
        scratch.unlink()
        manifest = with_all_columns(manifest.iloc[order].reset_index(drop=True))
        images = np.load(building / IMAGES_FILE, mmap_mode="r")
        options = {"size": frame.size, "seed": seed, **options, **facts}
        fingerprint = fingerprint_of(images, manifest, options)
        dataset = PreparedDataset(
            images=images, manifest=manifest, name=name, fingerprint=fingerprint, options=options, skipped=skipped
        )
        write_tables(dataset, building)
    return PreparedDataset.open(folder)
