"""Build a prepared data set from a stream of images: write them to disk, divide them, and order them by split."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from voxlex.data.dataset import (
    IMAGES_FILE,
    OPTIONS_FILE,
    PreparedDataset,
    Skip,
    fingerprint_of,
    split_order,
    with_all_columns,
    write_tables,
)
from voxlex.data.division import divide
from voxlex.duplicates.thumbnails import COLUMNS, ROWS, thumbnail
from voxlex.files import atomic_folder, remove
from voxlex.images.frame import Frame
from voxlex.names import printable

SCRATCH = "scratch"
"""File that holds the images until they are divided."""


class Spool:
    """An append-only file of images, with which a data set can be larger than memory.

    Images arrive in the order in which they are decoded, and are stored in the order of their splits. The file is not a
    memory map, because a full disk would then end the process instead of raising an `OSError`.
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
        """Return a thumbnail of each image, `(n, 32, 34)` of `float16`, for comparisons."""
        return np.stack(self._thumbnails) if self._thumbnails else np.zeros((0, ROWS, COLUMNS), np.float16)

    def write_array(self, path: Path, *, order: np.ndarray) -> None:
        """Write the images in `order` as one array `(n, 1, *shape)`, an NPY file.

        The array is `uint8`, or `uint16` if any image is. In that case, 8-bit images are scaled so that white stays
        white.
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


class Filled(NamedTuple):
    """What was put into a spool: a table with a row for each image, the skipped scans, and sentences for people."""

    table: pd.DataFrame
    skipped: list[Skip]
    notes: list[str]


Fill = Callable[[Spool], Filled]
"""Function that appends images to a spool."""


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
    notes: Sequence[str] = (),
) -> PreparedDataset:
    """Build a prepared data set in a folder, which appears complete or not at all.

    Rows that must stay together get the same `group`; see `division.divide`.

    Args:
        folder: Folder for the data set. It must not exist.
        frame: The frame of all images.
        fill: Function that appends the images. Its table has the columns `COLUMNS`, without those for volumes if there
            are none, and further columns that are kept. Without a column `split`, the images are divided here.
        seed: Seed of the division into splits.
        name: Short name of the source.
        options: Options that the images depend on, besides their size and the seed.
        compare: Whether to search for near-duplicates and keep them together.
        allow_leak: Whether to use the splits of the table even if subjects or near-duplicates cross them.
        notes: Sentences for people about the source.

    Raises:
        DataError: If the folder exists or cannot be written, or the table's split leaks.
    """
    with atomic_folder(folder, last=OPTIONS_FILE) as building:
        scratch = building / SCRATCH
        with scratch.open("w+b") as file:
            spool = Spool(file, shape=frame.shape)
            manifest, skipped, said = fill(spool)
            thumbnails = spool.thumbnails() if compare else None
            manifest, facts = divide(manifest, thumbnails, seed=seed, name=name, allow_leak=allow_leak)
            order = split_order(list(manifest["split"]))
            spool.write_array(building / IMAGES_FILE, order=order)
        remove(scratch)
        manifest = with_all_columns(manifest.iloc[order].reset_index(drop=True))
        images = np.load(building / IMAGES_FILE, mmap_mode="r")
        options = {"size": frame.size, "seed": seed, **options, **facts}
        fingerprint = fingerprint_of(images, manifest, options)
        dataset = PreparedDataset(
            images=images,
            manifest=manifest,
            name=printable(name),
            fingerprint=fingerprint,
            options=options,
            skipped=skipped,
            notes=(*notes, *said, *_notes_of(facts)),
        )
        write_tables(dataset, building)
    return PreparedDataset.open(folder)


def _notes_of(facts: dict[str, Any]) -> list[str]:
    if "held_out" not in facts:
        return []
    return [
        f"splits: the split of the data is incomplete, so {facts['held_out']} images are held out of its training "
        "part, in whole groups"
    ]
