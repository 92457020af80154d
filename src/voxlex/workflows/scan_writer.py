"""Images back to scans: each is written as soon as the last of its images has come."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pandas as pd
from torch import Tensor

from voxlex.errors import DataError
from voxlex.images.fit import restore_scan, restore_slice, stack_of
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, Origin
from voxlex.scans.read_write import write_scan
from voxlex.workflows.outputs import printable, relative_names, write_image

VOLUME_SUFFIX = ".nii.gz"


@dataclass(frozen=True, eq=False)
class ScanRows:
    """The images of one scan in a table of images.

    Attributes:
        name: Path of the scan without its suffix.
        origin: What they were made of.
        slices: For slices of a volume, the index of each, else an empty list.
        count: How many images there are.
    """

    name: str
    origin: Origin
    slices: list[int]
    count: int

    @property
    def is_whole(self) -> bool:
        """Whether the images are all that is needed to make the scan again."""
        return not self.slices or self.slices == list(range(len(stack_of(self.origin))))

    def image_names(self) -> list[str]:
        """Name each image."""
        return [f"{self.name}_slice_{index:03d}" for index in self.slices] or [self.name]


def scans_of(table: pd.DataFrame) -> list[ScanRows]:
    """Find the scans of a table of images, whose rows of one scan follow one another."""
    runs = [(path, len(list(rows))) for path, rows in groupby(table["path"])]
    names = relative_names([path for path, _ in runs])
    columns = [column for column in ORIGIN_COLUMNS if column in table.columns]
    scans, start = [], 0
    for name, (_, count) in zip(names, runs, strict=True):
        origin = Origin.from_facts(ORIGIN_DEFAULTS | {column: table[column].iloc[start] for column in columns})
        in_volume = origin.view not in ("picture", "cube")
        slices = [int(index) for index in table["slice"].iloc[start : start + count]] if in_volume else []
        scans.append(ScanRows(name=name, origin=origin, slices=slices, count=count))
        start += count
    return scans


class ScanWriter:
    """Takes images in the order of their table and writes the scans that they make up.

    A volume of which every slice comes is written as NIfTI on its own grid. Pictures, and slices of a volume of which
    some are missing, are written as PNG.

    Args:
        folder: Where to write, under the names that the scans have in the table.
        table: A row for each image, with `path`, `slice` and `ORIGIN_COLUMNS`.
        original_size: Give pictures the size they came in; else they have the model's.
        ending: Put between a name and its suffix.

    Raises:
        DataError: If a path of the table leads out of the folder; tables and code files may come from anywhere.
    """

    def __init__(self, folder: Path, table: pd.DataFrame, *, original_size: bool = False, ending: str = "") -> None:
        for path in table["path"]:
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise DataError(f"{path}: leads out of the folder for the results")
        self.written = 0
        self._folder = folder
        self._original_size = original_size
        self._ending = ending
        self._scans: Iterator[ScanRows] = iter(scans_of(table))
        self._scan: ScanRows | None = None
        self._images: list[Tensor] = []

    def add(self, image: Tensor) -> None:
        """Take the image `(1, *space)` in [0, 1] of the next row.

        Raises:
            DataError: A file cannot be written.
        """
        self._scan = self._scan or next(self._scans)
        self._images.append(image)
        if len(self._images) == self._scan.count:
            self._write(self._scan, self._images)
            self._scan, self._images = None, []

    def _write(self, scan: ScanRows, images: list[Tensor]) -> None:
        if scan.origin.view != "picture" and scan.is_whole:
            path = self._folder / f"{scan.name}{self._ending}{VOLUME_SUFFIX}"
            write_scan(path, restore_scan([image[0].numpy() for image in images], scan.origin))
            self.written += 1
            return
        for name, image in zip(scan.image_names(), images, strict=True):
            path = self._folder / f"{name}{self._ending}.png"
            if self._original_size:
                origin = replace(scan.origin, intensity=printable(scan.origin.intensity))
                write_scan(path, restore_slice(image[0].numpy(), origin))
            else:
                write_image(path, image, scan.origin.intensity)
            self.written += 1
