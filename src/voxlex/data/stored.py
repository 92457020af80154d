"""The files of a prepared data set. They are checked before they are used, for they may be damaged or crafted."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from mmap import mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from voxlex.errors import DataError
from voxlex.outputs import PREPARED_DESCRIPTION

FORMAT_VERSION = 2

IMAGES_FILE, MANIFEST_FILE, OPTIONS_FILE = "images.npy", "manifest.parquet", PREPARED_DESCRIPTION
FILES = (IMAGES_FILE, MANIFEST_FILE, OPTIONS_FILE)
"""All files of a prepared data set."""

_LARGEST_DESCRIPTION = 2**28  # bytes
_BLOCK, _BLOCKS = 2**23, 128  # so much of the images is compared with a hash: all of 1 GiB, 128 blocks of more


class StoredImages(np.memmap):
    """Images that stay on disk. Reading them is an error if the file has been cut short in the meantime.

    Reading a memory map behind the end of its file would end the process without a word.
    """

    _mmap: mmap | None
    _needed: int

    def __getitem__(self, key: Any) -> Any:
        """Return images as an array, or as a view that stays on disk."""
        pages = self._mmap
        if pages is not None and pages.size() < self._needed:
            raise DataError(f"{self.filename}: was cut short while it was in use; prepare the data set again")
        found = super().__getitem__(key)
        if isinstance(found, StoredImages) and found._mmap is None:
            return found.view(np.ndarray)
        return found

    def __array_finalize__(self, obj: Any) -> None:
        """Hand down how long the file has to be."""
        super().__array_finalize__(obj)
        self._needed = getattr(obj, "_needed", 0)

    @classmethod
    def of(cls, path: Path) -> "StoredImages":
        """Map the images of a prepared data set, `(n, 1, *space)`.

        Raises:
            ValueError: If the file does not hold such an array, and nothing else.
            OSError: If it cannot be read.
        """
        _check_regular(path)
        with path.open("rb") as file:
            shape, dtype = _read_header(file)
            start, end = file.tell(), file.seek(0, 2)
        expected = start + math.prod(shape) * dtype.itemsize
        if end != expected:
            raise ValueError(f"{path.name}: expected {expected:,} bytes for images of {shape}, got {end:,}")
        images = cls(path, dtype=dtype, mode="r", offset=start, shape=shape)
        images._needed = expected
        return images


def read_record(folder: Path) -> dict[str, Any]:
    """Read the description of a prepared data set.

    Raises:
        DataError: If it comes from a newer version.
        ValueError: If it is not a description.
        OSError: If it cannot be read.
    """
    path = folder / OPTIONS_FILE
    _check_regular(path, at_most=_LARGEST_DESCRIPTION)
    record = json.loads(path.read_text(encoding="utf-8"))
    _expect(isinstance(record, dict), "a description", record)
    version = record.get("format_version")
    _expect(isinstance(version, int), "a number as format_version", version)
    if version > FORMAT_VERSION:
        raise DataError(f"{folder}: prepared by a newer version of voxlex (format {version})")
    for name, kind in (("name", str), ("fingerprint", str), ("options", dict), ("skipped", list)):
        _expect(isinstance(record.get(name), kind), f"{name} as {kind.__name__}", record.get(name))
    for skip in record["skipped"]:
        _expect(isinstance(skip, list) and len(skip) == 2 and _are_texts(skip), "a path and a reason", skip)
    for name in ("constant", "notes"):
        _expect(isinstance(record.get(name, []), list) and _are_texts(record.get(name, [])), name, record.get(name))
    return record


def read_manifest(folder: Path, *, rows: int) -> pd.DataFrame:
    """Read the table of a prepared data set, which must have so many rows.

    Raises:
        ValueError, OSError: If it cannot be read, and many others if it is damaged.
    """
    path = folder / MANIFEST_FILE
    _check_regular(path)
    content = BytesIO(path.read_bytes())
    found = pq.ParquetFile(content).metadata.num_rows
    if found != rows:
        raise ValueError(f"expected a row for each of {rows} images, got {found} rows")
    return pd.read_parquet(content)


def sums_of(folder: Path) -> dict[str, str]:
    """Return hashes of the images and of the table of a prepared data set.

    Of images of more than a GiB, evenly spaced blocks are hashed.
    """
    digest = hashlib.blake2b(digest_size=16)
    with (folder / IMAGES_FILE).open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
    return {
        "images": digest.hexdigest(),
        "manifest": hashlib.blake2b((folder / MANIFEST_FILE).read_bytes(), digest_size=16).hexdigest(),
    }


def check_sums(folder: Path, record: Mapping[str, Any]) -> None:
    """Compare the files of a prepared data set with their hashes. Sets of older versions have none.

    Raises:
        ValueError: If a file has changed.
    """
    known = record.get("sums")
    if known is None:
        return
    _expect(isinstance(known, dict), "sums as dict", known)
    changed = [name for name, found in sums_of(folder).items() if known.get(name) != found]
    if changed:
        raise ValueError(f"expected the files that were written, got changes in its {' and '.join(changed)}")


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{IMAGES_FILE}: expected version 1 or 2 of the format, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception as cause:  # it is a piece of Python, and numpy shows what its parser says
        raise ValueError(f"{IMAGES_FILE}: its header is damaged") from cause
    if dtype not in (np.uint8, np.uint16) or fortran or len(shape) not in (4, 5) or shape[1] != 1 or min(shape) < 1:
        raise ValueError(f"expected uint8 or uint16 images (n, 1, *space), got {dtype} {shape}")
    return shape, dtype


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    size = file.seek(0, 2)
    count = math.ceil(size / _BLOCK)
    chosen = range(count) if count <= _BLOCKS else [number * (count - 1) // (_BLOCKS - 1) for number in range(_BLOCKS)]
    for number in chosen:
        file.seek(number * _BLOCK)
        yield file.read(_BLOCK)


def _check_regular(path: Path, *, at_most: int | None = None) -> None:
    """Refuse pipes and devices, for which reading may not end."""
    _expect(path.is_file(), f"a file {path.name}", "none")
    size = path.stat().st_size
    _expect(at_most is None or size <= at_most, f"{path.name} of at most {at_most} bytes", size)


def _are_texts(items: list[Any]) -> bool:
    return all(isinstance(item, str) for item in items)


def _expect(condition: bool, what: str, got: object) -> None:
    if not condition:
        raise ValueError(f"expected {what}, got {str(got)[:80]}")
