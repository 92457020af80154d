"""Turn images back into scans. Each scan is written as soon as all of its images are there."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from voxlex.errors import DataError, brief, naming
from voxlex.images.facts import check_facts, check_slices
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, Origin
from voxlex.images.restore import restore_scan, restore_slice
from voxlex.scans.suffixes import without_suffix
from voxlex.workflows.results import ResultWriter


@dataclass(frozen=True, eq=False)
class ScanRows:
    """The images of one scan in a table of images.

    Attributes:
        name: Path of the scan without its suffix.
        origin: The origin of the images.
        slices: Index of each slice of a volume; empty for other images.
        count: Number of images.
    """

    name: str
    origin: Origin
    slices: list[int]
    count: int

    @property
    def is_volume(self) -> bool:
        """Whether a whole volume can be restored from the images."""
        if self.origin.is_sliced:
            return self.slices == list(range(len(self.origin.stack)))
        return self.origin.view == "cube"

    def image_names(self) -> list[str]:
        """Name each image."""
        return [f"{self.name}_slice_{index:03d}" for index in self.slices] or [self.name]


def scans_of(table: pd.DataFrame) -> list[ScanRows]:
    """Find the scans in a table of images, in which the rows of each scan follow one another.

    Raises:
        DataError: If a scan cannot be restored from what the table says of it.
    """
    runs = [(path, len(list(rows))) for path, rows in groupby(table["path"])]
    names = _names([path for path, _ in runs])
    columns = [column for column in ORIGIN_COLUMNS if column in table.columns]
    scans, start = [], 0
    for name, (_, count) in zip(names, runs, strict=True):
        facts = ORIGIN_DEFAULTS | {column: table[column].iloc[start] for column in columns}
        rows = list(table["slice"].iloc[start : start + count])
        with naming(Path(table["path"].iloc[start])):
            check_facts(facts)
            origin = Origin.from_facts(facts)
            if origin.is_sliced:
                check_slices(rows)
                _ = origin.stack  # raises an error if the affine does not span a space
        slices = [int(index) for index in rows] if origin.is_sliced else []
        scans.append(ScanRows(name=name, origin=origin, slices=slices, count=count))
        start += count
    return scans


class ScanWriter:
    """Takes images in the order of their table, and writes the scans that they belong to.

    A volume with all of its slices is written as NIfTI on its own grid. Pictures, and slices of an incomplete volume,
    are written as PNG.

    Args:
        folder: Folder for the files, which have the names of the scans in the table.
        table: Table with a row for each image, and with the columns `path`, `slice` and `ORIGIN_COLUMNS`.
        original_size: Resize pictures to their original size. Otherwise they have the size of the model.
        endings: For each version of a scan, the text between the name and the suffix of its file.

    Attributes:
        written: Number of files of the first version.
        image_names: Name of each row.

    Raises:
        DataError: If a path in the table leads out of the folder, or no scan can be restored from a row, since tables
            and code files may come from others.
    """

    def __init__(
        self, folder: Path, table: pd.DataFrame, *, original_size: bool = False, endings: Sequence[str] = ("",)
    ) -> None:
        for path in table["path"]:
            if not isinstance(path, str) or path.strip("./\\ ") == "" or "\0" in path:
                raise DataError(f"path: expected the name of a scan, got {brief(path)}")
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise DataError(f"{path}: expected a path inside the folder of results, got one that leads out of it")
        scans = scans_of(table)
        self.image_names = [name for scan in scans for name in scan.image_names()]
        self._scans: Iterator[ScanRows] = iter(scans)
        self._scan: ScanRows | None = None
        self._images: list[tuple[np.ndarray, ...]] = []
        self._original_size = original_size
        self._results = [ResultWriter(folder, ending=ending) for ending in endings]

    @property
    def written(self) -> int:
        """Number of files of the first version that have been written."""
        return self._results[0].written

    def add(self, *versions: Tensor) -> None:
        """Add the image `(1, *space)` in [0, 1] of the next row, in each version.

        Raises:
            DataError: If a file cannot be written.
        """
        self._scan = self._scan or next(self._scans)
        self._images.append(tuple(version[0].numpy() for version in versions))
        if len(self._images) == self._scan.count:
            for results, images in zip(self._results, zip(*self._images, strict=True), strict=True):
                self._write(results, self._scan, images)
            self._scan, self._images = None, []

    def _write(self, results: ResultWriter, scan: ScanRows, images: Sequence[np.ndarray]) -> None:
        if scan.is_volume:
            results.write(scan.name, restore_scan(images, scan.origin))
            return
        for name, image in zip(scan.image_names(), images, strict=True):
            seen = restore_slice(image, scan.origin) if self._original_size else image
            results.write_unit(name, seen, scan.origin.intensity)


def _names(paths: Sequence[str]) -> list[str]:
    """Return paths without their suffixes, except where two paths differ only in the suffix."""
    stems = [without_suffix(path) for path in paths]
    times = Counter(stems)
    return [stem if times[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]
