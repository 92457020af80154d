"""Prepared data sets: all images in one memory map, with a table."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from voxlex.data.division import SPLITS
from voxlex.errors import DataError
from voxlex.files import atomic_folder
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS
from voxlex.outputs import PREPARED_DESCRIPTION
from voxlex.tables.manifest import INDEX_COLUMNS
from voxlex.types import Image

FORMAT_VERSION = 2
COLUMNS = (*INDEX_COLUMNS, "split", *ORIGIN_COLUMNS)
"""Columns of every `PreparedDataset.manifest`: those of an index, and those that restore scans."""

IMAGES_FILE, MANIFEST_FILE, OPTIONS_FILE = "images.npy", "manifest.parquet", PREPARED_DESCRIPTION
FILES = (IMAGES_FILE, MANIFEST_FILE, OPTIONS_FILE)
"""All files of a prepared data set."""


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
    """

    images: np.ndarray
    manifest: pd.DataFrame
    name: str
    fingerprint: str
    options: dict[str, Any] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)

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
        pixels = self.images[chosen]
        return torch.from_numpy(pixels.astype(np.float32)).div_(float(np.iinfo(pixels.dtype).max))

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
        with atomic_folder(folder) as building:
            with (building / IMAGES_FILE).open("wb") as file:
                np.lib.format.write_array(file, np.asarray(self.images), allow_pickle=False)
            write_tables(self, building)

    @classmethod
    def open(cls, folder: str | Path) -> "PreparedDataset":
        """Open a folder from `write` or from a source's `prepare`. The images stay on disk.

        Raises:
            DataError: If the folder is not a prepared data set, is damaged, or comes from a newer version.
        """
        folder = Path(folder)
        if not is_prepared(folder):
            raise DataError(f"{folder}: expected a prepared data set, got a folder without {OPTIONS_FILE}")
        try:
            record = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
            if record["format_version"] > FORMAT_VERSION:
                raise DataError(f"{folder}: prepared by a newer version of voxlex (format {record['format_version']})")
            images = np.load(folder / IMAGES_FILE, mmap_mode="r", allow_pickle=False)
            manifest = with_all_columns(pd.read_parquet(folder / MANIFEST_FILE))
            dataset = cls(
                images=images,
                manifest=manifest,
                name=record["name"],
                fingerprint=record["fingerprint"],
                options=record["options"],
                skipped=_read_skipped(record),
            )
            _check(dataset)
        except DataError:
            raise
        except Exception as cause:  # json, numpy and parquet raise different errors for a damaged file
            raise DataError(f"{folder}: damaged prepared data set: {cause}") from cause
        return dataset


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


def split_order(splits: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return a stable order of rows that groups them by split, in the order of `SPLITS`."""
    return np.argsort([SPLITS.index(split) for split in splits], kind="stable")


def fingerprint_of(images: np.ndarray, manifest: pd.DataFrame, options: dict[str, Any]) -> str:
    """Hash pixels, paths, splits, labels, columns beyond `COLUMNS` and options to 32 hexadecimal digits."""
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True).encode(), digest_size=16)
    for column in ("path", "split", "label"):
        digest.update("\n".join(manifest[column]).encode())
    for column in sorted(set(manifest.columns) - set(COLUMNS)):
        digest.update("\n".join([column, *map(str, manifest[column])]).encode())
    for start in range(0, len(images), 1024):  # a memory map need not fit into memory
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def write_tables(dataset: PreparedDataset, folder: Path) -> None:
    """Write the manifest and the description of a prepared data set into `folder`, without its images."""
    dataset.manifest.to_parquet(folder / MANIFEST_FILE, index=False)
    record = {
        "format_version": FORMAT_VERSION,
        "name": dataset.name,
        "size": dataset.size,
        "fingerprint": dataset.fingerprint,
        "options": dataset.options,
        "skipped": [[skip.path, skip.reason] for skip in dataset.skipped],
        "constant": [skip.path for skip in dataset.skipped if skip.constant],
    }
    # Not by `write_json`: the folder is being built, and an error has to name the place that it is for.
    (folder / OPTIONS_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_skipped(record: dict[str, Any]) -> list[Skip]:
    if "constant" in record:
        constant = set(record["constant"])
        return [Skip(path, reason, path in constant) for path, reason in record["skipped"]]
    # Version 0.1 kept the reason alone.
    return [Skip(path, reason, reason.startswith("constant")) for path, reason in record["skipped"]]


def _check(dataset: PreparedDataset) -> None:
    missing = set(COLUMNS) - set(dataset.manifest.columns)
    if missing:
        raise ValueError(f"expected a manifest with the columns {', '.join(sorted(missing))}, got one without them")
    if dataset.images.dtype not in (np.uint8, np.uint16) or dataset.images.ndim < 4:
        raise ValueError(
            f"expected uint8 or uint16 images (n, 1, *space), got {dataset.images.dtype} {dataset.images.shape}"
        )
    if len(dataset.images) != len(dataset.manifest):
        raise ValueError(f"expected a row for each of {len(dataset.images)} images, got {len(dataset.manifest)} rows")
    order = split_order(list(dataset.manifest["split"]))
    if not np.array_equal(order, np.arange(len(order))):
        raise ValueError("expected rows in the order of splits, got another order")
