"""Turn images back into scans. Each scan is written as soon as all of its images are there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, groupby
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from torch import Tensor

from voxlex.errors import DataError, brief, naming
from voxlex.images.facts import check_facts, check_slices
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, ORIGIN_EXTRAS, Origin
from voxlex.images.restore import restore_scan, restore_slice
from voxlex.names import folded, length_limit, printable, shortened
from voxlex.outputs import RESULTS_MARK, SHEETS, SUFFIXES
from voxlex.scans.samples import Samples
from voxlex.scans.suffixes import without_suffix
from voxlex.workflows.results import ResultWriter, Written


@dataclass(frozen=True, eq=False)
class ScanRows:
    """The images of one scan in a table of images.

    Attributes:
        name: What the files of the scan are called, relative to the folder of results and without a suffix.
        origin: The origin of the images.
        slices: Index of each slice of a volume; empty for other images.
        count: Number of images.
        suffix: Suffix of the only file, for an exact copy of the scan; "" if its images are written.
    """

    name: str
    origin: Origin
    slices: list[int]
    count: int
    suffix: str = ""

    @property
    def is_volume(self) -> bool:
        """Whether a whole volume can be restored from the images."""
        if self.origin.is_sliced:
            return self.slices == list(range(len(self.origin.stack)))
        return self.origin.view == "cube"

    def image_names(self) -> list[str]:
        """Name each image."""
        return [f"{self.name}_slice_{index:03d}" for index in self.slices] or [self.name]

    def files(self, endings: Sequence[str]) -> list[str]:
        """Return the names of all files of the scan, with each ending."""
        if self.suffix:
            return [f"{self.name}{ending}{self.suffix}" for ending in endings]
        names = [self.name] if self.is_volume else self.image_names()
        return [f"{name}{ending}{SUFFIXES[3 if self.is_volume else 2]}" for name in names for ending in endings]

    def called(self, name: str, *, endings: Sequence[str], limit: int) -> "ScanRows":
        """Return the scan with another name, shortened so that no part of the names of its files is too long."""
        own = replace(self, name=name)
        longest = max(len(file.encode()) for file in own.files(endings)) - len(name.encode())
        *folders, last = name.split("/")
        parts = [*(shortened(folder, limit=limit) for folder in folders), shortened(last, limit=limit - longest)]
        return replace(self, name="/".join(parts))


def scans_of(
    table: pd.DataFrame,
    *,
    endings: Sequence[str] = ("",),
    limit: int = 255,
    suffixes: Mapping[str, str] | None = None,
) -> list[ScanRows]:
    """Find the scans in a table of images, in which the rows of each scan follow one another, and name their files.

    Files are called like the scan, without its suffix. No two scans have a file of the same name, also not on file
    systems for which "A" is "a", and none is called like a sheet.

    Args:
        table: Table with a row for each image.
        endings: What comes between the name and the suffix of each file of a scan.
        limit: Largest number of bytes of a name in the folder of results.
        suffixes: For each scan of which an exact copy is written, by its path, the suffix of the copy.

    Raises:
        DataError: If a scan cannot be restored from what the table says of it.
    """
    runs = [(path, len(list(rows))) for path, rows in groupby(map(printable, table["path"]))]
    columns = [column for column in (*ORIGIN_COLUMNS, *ORIGIN_EXTRAS) if column in table.columns]
    scans, start = [], 0
    for path, length in runs:
        facts = ORIGIN_DEFAULTS | {column: table[column].iloc[start] for column in columns}
        rows = list(table["slice"].iloc[start : start + length])
        with naming(Path(path)):
            check_facts(facts)
            origin = Origin.from_facts(facts)
            if origin.is_sliced:
                check_slices(rows)
                _ = origin.stack  # raises an error if the affine does not span a space
            elif length > 1:
                raise DataError(f"expected one row for each picture or cube, got {length}; give each a path of its own")
        slices = [int(index) for index in rows] if origin.is_sliced else []
        suffix = (suffixes or {}).get(path, "")
        scans.append(ScanRows(name=path, origin=origin, slices=slices, count=length, suffix=suffix))
        start += length
    return _named(scans, endings=endings, limit=limit)


def _named(scans: Sequence[ScanRows], *, endings: Sequence[str], limit: int) -> list[ScanRows]:
    times = Counter(without_suffix(scan.name) + scan.suffix for scan in scans)
    taken = {folded(name) for name in (*SHEETS, RESULTS_MARK)}
    taken |= {folded(parent.as_posix()) for scan in scans for parent in PurePosixPath(scan.name).parents}
    named = []
    for scan in scans:
        stem = without_suffix(scan.name)
        # Where two differ only in the suffix, it is part of both names.
        first = [stem] if times[stem + scan.suffix] == 1 else []
        for name in chain(first, [scan.name], (f"{scan.name}-{number}" for number in count(2))):
            own = scan.called(name, endings=endings, limit=limit)
            files = {folded(file) for file in own.files(endings)}
            if not files & taken:
                break
        taken |= files
        named.append(own)
    return named


class ScanWriter:
    """Takes images in the order of their table, and writes the scans that they belong to.

    A volume with all of its slices is written as NIfTI on its own grid. Pictures, and slices of an incomplete volume,
    are written as PNG.

    Args:
        folder: Folder for the files, which have the names of the scans in the table.
        table: Table with a row for each image, and with the columns `path`, `slice` and `ORIGIN_COLUMNS`.
        original_size: Resize pictures to their original size. Otherwise they have the size of the model.
        endings: For each version of a scan, the text between the name and the suffix of its file.
        suffixes: See `scans_of`.

    Attributes:
        written: Number of files of the first version.
        image_names: Name of each row.

    Raises:
        DataError: If a path in the table leads out of the folder, or no scan can be restored from a row, since tables
            and code files may come from others.
    """

    def __init__(
        self,
        folder: Path,
        table: pd.DataFrame,
        *,
        original_size: bool = False,
        endings: Sequence[str] = ("",),
        suffixes: Mapping[str, str] | None = None,
    ) -> None:
        for path in table["path"]:
            if not isinstance(path, str) or path.strip("./\\ ") == "" or "\0" in path:
                raise DataError(f"path: expected the name of a scan, got {brief(path)}")
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise DataError(f"{path}: expected a path inside the folder of results, got one that leads out of it")
        scans = scans_of(table, endings=endings, limit=length_limit(folder), suffixes=suffixes)
        self._cut = _cut(list(table["path"]), scans)
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

    def report(self) -> Written:
        """Return what was written."""
        what = "1 name is" if len(self._cut) == 1 else f"{len(self._cut)} names are"
        note = f"{what} too long for files of results and end in a hash, such as {self._cut[0]}" if self._cut else ""
        return Written(self.written, [note] if note else [])

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

    def add_samples(self, samples: Samples) -> None:
        """Write an exact copy of the next scan.

        Raises:
            DataError: If the file cannot be written.
        """
        (name,) = next(self._scans).files([""])
        self._results[0].write_samples(name, samples)

    def skip(self) -> None:
        """Pass over the next scan, which keeps its names and is not written."""
        next(self._scans)

    def _write(self, results: ResultWriter, scan: ScanRows, images: Sequence[np.ndarray]) -> None:
        if scan.is_volume:
            results.write(scan.name, restore_scan(images, scan.origin))
            return
        for name, image in zip(scan.image_names(), images, strict=True):
            seen = restore_slice(image, scan.origin) if self._original_size else image
            results.write_unit(name, seen, scan.origin.intensity)


def _cut(paths: Sequence[str], scans: Sequence[ScanRows]) -> list[str]:
    """Return the names of scans that had to be shortened."""
    given = [printable(path) for path, _ in groupby(paths)]
    return [
        scan.name for path, scan in zip(given, scans, strict=True) if not scan.name.startswith(without_suffix(path))
    ]
