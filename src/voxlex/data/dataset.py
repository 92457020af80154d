"""Prepared data sets: all images in one memory map, with a table."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from voxlex.data.division import SPLITS
from voxlex.data.stored import (
    FILES,
    FORMAT_VERSION,
    IMAGES_FILE,
    MANIFEST_FILE,
    OPTIONS_FILE,
    StoredImages,
    check_sums,
    read_manifest,
    read_record,
    sums_of,
)
from voxlex.errors import DataError
from voxlex.files import atomic_folder
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, ORIGIN_EXTRAS
from voxlex.machine import trouble
from voxlex.names import printable
from voxlex.tables.manifest import INDEX_COLUMNS
from voxlex.tables.subjects import unknown_subjects
from voxlex.types import Image

COLUMNS = (*INDEX_COLUMNS, "split", *ORIGIN_COLUMNS)
"""Columns of every `PreparedDataset.manifest`: those of an index, and those that restore scans."""

__all__ = ["COLUMNS", "FILES", "FORMAT_VERSION", "IMAGES_FILE", "PreparedDataset", "Skip", "unit_images"]

_TEXTS = (*(column for column in INDEX_COLUMNS if column != "slice"), "split")
_LARGEST_SIDE = 2**20
_MOST_VOXELS = 2**34


class Skip(NamedTuple):
    """A scan that was left out of a prepared data set.

    Attributes:
        path: Path of the scan, as in a manifest.
        reason: Why it was left out.
        constant: Whether it was left out because it has a single grey value or no image, and not because it is damaged.
    """

    path: str
    reason: str
    constant: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedDataset:
    """Images on square canvases or in cubes, with a table of facts about them.

    The rows have the order of `SPLITS`, so that a split is a slice of the memory map and is not copied.

    Attributes:
        images: `(n, 1, *space)`, `uint8`, or `uint16` if any source image has more than 8 bits; 0 is black, the type's
            maximum white. Usually a read-only memory map.
        manifest: One row for each image, with the columns `COLUMNS` and further columns of the source.
        name: Short name of the source.
        fingerprint: Hash of the pixels, the table and the options. The same data and options give the same hash
            anywhere.
        options: Options of the preparation, such as `size` and `seed`.
        skipped: The scans that were left out, with the reasons.
        notes: Sentences for people about what was guessed and what is unknown. They do not count for the fingerprint.
        passed_over: Sentences about files of the source that look like scans and do not count, as it is now. They are
            not stored.
    """

    images: np.ndarray
    manifest: pd.DataFrame
    name: str
    fingerprint: str
    options: dict[str, Any] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def size(self) -> int:
        """Side of the canvas in pixels, or of the cube in voxels."""
        return self.images.shape[-1]

    @property
    def spatial_dims(self) -> int:
        """2 for images, 3 for volumes."""
        return self.images.ndim - 2

    @property
    def labels(self) -> list[str]:
        """The distinct labels, sorted; empty if the images do not have labels."""
        return sorted(set(self.manifest["label"]) - {""})

    def tensor(self, rows: slice | Sequence[int] | np.ndarray | Tensor = slice(None)) -> Image:
        """Load images as float32 in [0, 1], `(b, 1, *space)`, on the CPU.

        Args:
            rows: Positions in `manifest`; all by default.
        """
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        return unit_images(self.images[chosen])

    def subset(self, split: str) -> "PreparedDataset":
        """View the images of one split ("train", "validation", "test"), or all of them ("all").

        Raises:
            ValueError: If there is no split with this name.
            DataError: If the split is empty.
        """
        if split == "all":
            return self
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join((*SPLITS, 'all'))}, got {split!r}")
        rows = np.flatnonzero(self.manifest["split"] == split)
        if len(rows) == 0:
            raise DataError(f"{self.name}: expected {split} images, got none of {len(self)}; too few groups to divide?")
        span = slice(int(rows[0]), int(rows[-1]) + 1)
        return replace(self, images=self.images[span], manifest=self.manifest.iloc[span].reset_index(drop=True))

    def write(self, folder: str | Path) -> None:
        """Write the data set to a folder that `open` can read. The folder appears complete or not at all.

        Raises:
            DataError: If the folder already exists, or cannot be written.
        """
        with atomic_folder(folder, last=OPTIONS_FILE) as building:
            with (building / IMAGES_FILE).open("wb") as file:
                np.lib.format.write_array(file, np.asarray(self.images), allow_pickle=False)
            write_tables(self, building)

    @classmethod
    def open(cls, folder: str | Path) -> "PreparedDataset":
        """Open a folder from `write` or from a source's `prepare`. The images stay on disk.

        Raises:
            DataError: If the folder is not a prepared data set, is damaged, comes from a newer version, or cannot be
                read.
        """
        folder = Path(folder)
        if not is_prepared(folder):
            raise DataError(f"{folder}: expected a prepared data set, got a folder without {OPTIONS_FILE}")
        try:
            return cls._read(folder)
        except DataError:
            raise
        except Exception as cause:  # json, numpy and parquet raise different errors for a damaged file
            if reason := _cannot_be_read(cause, folder):
                raise UnreadableError(f"{folder}: cannot be read: {reason}") from cause
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise DataError(f"{folder}: damaged prepared data set: {reason}") from cause

    @classmethod
    def _read(cls, folder: Path) -> "PreparedDataset":
        record = read_record(folder)
        images = StoredImages.of(folder / IMAGES_FILE)
        manifest = read_manifest(folder, rows=len(images))
        check_sums(folder, record)
        dataset = cls(
            images=images,
            manifest=with_all_columns(manifest),
            name=record["name"],
            fingerprint=record["fingerprint"],
            options=record["options"],
            skipped=_read_skipped(record),
            notes=_read_notes(record, manifest),
        )
        _check(dataset)
        return dataset


class UnreadableError(DataError):
    """A prepared data set that may be intact and cannot be read at this moment."""


def is_prepared(folder: Path) -> bool:
    """Tell whether a folder is the prepared form of a data set."""
    return (folder / OPTIONS_FILE).is_file()


def with_all_columns(manifest: pd.DataFrame) -> pd.DataFrame:
    """Put the columns in the order of `COLUMNS`, others last, and add missing columns with their defaults."""
    absent = {
        column: pd.Series([default] * len(manifest), index=manifest.index, dtype=object if default is None else None)
        for column, default in {"session": "", "sequence": "", **ORIGIN_DEFAULTS}.items()
        if column not in manifest.columns
    }
    filled = manifest.assign(**absent)
    known = [column for column in COLUMNS if column in filled.columns]
    return filled[[*known, *(column for column in filled.columns if column not in COLUMNS)]]


def unit_images(pixels: np.ndarray) -> Image:
    """Convert stored images to float32 in [0, 1], `(b, 1, *space)`."""
    return torch.from_numpy(pixels.astype(np.float32)).div_(float(np.iinfo(pixels.dtype).max))


def split_order(splits: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return a stable order of rows that groups them by split, in the order of `SPLITS`."""
    return np.argsort([SPLITS.index(split) for split in splits], kind="stable")


def fingerprint_of(images: np.ndarray, manifest: pd.DataFrame, options: dict[str, Any]) -> str:
    """Hash pixels, paths, splits, labels, columns of the source and options to 32 hexadecimal digits."""
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True).encode(), digest_size=16)
    for column in ("path", "split", "label"):
        digest.update("\n".join(manifest[column]).encode())
    for column in sorted(set(manifest.columns) - {*COLUMNS, *ORIGIN_EXTRAS}):
        digest.update("\n".join([column, *map(str, manifest[column])]).encode())
    for start in range(0, len(images), 1024):  # a memory map need not fit into memory
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def write_tables(dataset: PreparedDataset, folder: Path) -> None:
    """Write the manifest and the description of a prepared data set into `folder`, without its images."""
    with (folder / MANIFEST_FILE).open("wb") as file:  # by its path, which may not be Unicode, it cannot be written
        dataset.manifest.to_parquet(file, index=False)
    record = {
        "format_version": FORMAT_VERSION,
        "name": dataset.name,
        "size": dataset.size,
        "fingerprint": dataset.fingerprint,
        "options": dataset.options,
        "skipped": [[skip.path, skip.reason] for skip in dataset.skipped],
        "constant": [skip.path for skip in dataset.skipped if skip.constant],
        "notes": list(dataset.notes),
        "sums": sums_of(folder),
    }
    # Not by `write_json`: the folder is being built, and an error has to name the place that it is for.
    (folder / OPTIONS_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_skipped(record: dict[str, Any]) -> list[Skip]:
    if "constant" in record:
        constant = set(record["constant"])
        return [Skip(path, reason, path in constant) for path, reason in record["skipped"]]
    # Version 0.1 kept the reason alone.
    return [Skip(path, reason, reason.startswith("constant")) for path, reason in record["skipped"]]


def _read_notes(record: dict[str, Any], manifest: pd.DataFrame) -> tuple[str, ...]:
    # Version 0.1 kept no notes, but its table tells whose subject is unknown.
    return tuple(record["notes"] if "notes" in record else unknown_subjects(manifest))


def _check(dataset: PreparedDataset) -> None:
    manifest = dataset.manifest
    missing = set(COLUMNS) - set(manifest.columns)
    if missing:
        raise ValueError(f"expected a manifest with the columns {', '.join(sorted(missing))}, got one without them")
    order = split_order(list(manifest["split"]))
    if not np.array_equal(order, np.arange(len(order))):
        raise ValueError("expected rows in the order of splits, got another order")
    for column in _TEXTS:
        if not all(isinstance(value, str) for value in manifest[column]):
            raise ValueError(f"expected text in the column {column}, got something else")
    for path in manifest["path"].unique():
        if not path or Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"expected paths inside the source, got {printable(path)[:200]!r}")
    _check_origins(manifest)


def _check_origins(manifest: pd.DataFrame) -> None:
    """Refuse facts that no scan has, before scans are restored from them."""
    for column in ("height", "width", "bit_depth", "intensity_low", "intensity_high"):
        numbers = manifest[column].to_numpy(np.float64)
        if not np.isfinite(numbers).all():
            raise ValueError(f"expected finite numbers in the column {column}, got others")
        if column in ("height", "width") and not ((numbers >= 1) & (numbers <= _LARGEST_SIDE)).all():
            raise ValueError(f"expected a {column} of 1 to {_LARGEST_SIDE} pixels, got another")
    volumes = manifest[manifest["view"] != "picture"]
    for shape in volumes["stored_shape"]:
        lengths = [int(length) for length in shape]
        if min(lengths) < 1 or math.prod(lengths) > _MOST_VOXELS:
            raise ValueError(f"expected volumes of at most {_MOST_VOXELS:,} voxels, got {lengths}")


def _cannot_be_read(cause: BaseException, folder: Path) -> str | None:
    """Return why an error is not one of the data set's content: the machine, or a permission."""
    if isinstance(cause, PermissionError):
        return cause.strerror
    return trouble(cause, path=folder)
