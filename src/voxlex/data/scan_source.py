"""The source for scans: decode them in parallel, make images of them, and list unusable scans."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import pandas as pd

from voxlex.config.options import ReadingOptions
from voxlex.data.building import Filled, Spool, build
from voxlex.data.dataset import PreparedDataset, Skip
from voxlex.errors import DataError, LeftOutError
from voxlex.images.fit import Fitted, fit_scan
from voxlex.images.frame import Frame
from voxlex.images.intensity import ConstantImageError
from voxlex.images.origin import ORIGIN_EXTRAS
from voxlex.machine import trouble
from voxlex.names import printable
from voxlex.progress import Progress
from voxlex.rows import evenly_spaced
from voxlex.scans.places import InMemory, Place, files_at, fingerprint, is_volume_at, scan_at
from voxlex.tables.layouts import anonymous, undated_paths
from voxlex.tables.manifest import Index, index_images, index_source
from voxlex.workers import HERE, Workers

_TOLERATED = 0.1  # largest tolerated share of unreadable scans
_VOLUMES = BoundedSemaphore(8)  # threads that read volumes, which need much memory; pictures are not limited by this


@dataclass(frozen=True, eq=False)
class ScanSource:
    """The scans of a folder or of a table, a single scan, or scans in memory.

    Attributes:
        index: The scans, with facts about them.
        allow_leak: Whether to use the splits of the index even if subjects or near-duplicates cross them.
        reading: What to read of files that leave a choice, and what to assume where they say nothing.
    """

    index: Index
    allow_leak: bool = False
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    _fingerprints: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def at(
        cls,
        place: str | Path,
        *,
        allow_leak: bool = False,
        reading: ReadingOptions | None = None,
        subject: str | None = None,
    ) -> "ScanSource":
        """List the scans of a folder or a table; see `index_source`.

        Raises:
            DataError: If there is no scan, or the table cannot be used.
        """
        index = index_source(place, subject=subject)
        return cls(index, allow_leak=allow_leak, reading=reading or ReadingOptions())

    @classmethod
    def of(
        cls, images: Mapping[str, InMemory], *, allow_leak: bool = False, reading: ReadingOptions | None = None
    ) -> "ScanSource":
        """List scans in memory; see `index_images`."""
        return cls(index_images(images), allow_leak=allow_leak, reading=reading or ReadingOptions())

    @property
    def name(self) -> str:
        """Name of the folder or the table; "images" for scans in memory."""
        return self.index.name

    def ready(self, frame: Frame | None) -> PreparedDataset | None:
        """Return None: scans must be prepared."""
        return None

    def state(self, frame: Frame) -> list[object]:
        """Return the facts about the scans, and the names, sizes and times of all of their files."""
        state: list[object] = [self.index.table.to_csv(index=False)]
        for path in self.index.table["path"]:
            place = self.index.place(path)
            if isinstance(place, Path):  # a series is a folder, whose time does not change with its files
                state += [(file.relative_to(self.index.root).as_posix(), *_state_of(file)) for file in files_at(place)]
            else:
                state.append(self._fingerprint(place))
        leaking = ["leaks allowed"] if self.allow_leak else []
        read = self.reading.changed()
        options = frame.options(volumes=self._has_volumes)
        return ["scans", state, options, frame.size, *leaking, *([{"reading": read}] if read else [])]

    def prepare(
        self,
        folder: str | Path,
        frame: Frame,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        workers: Workers = HERE,
    ) -> PreparedDataset:
        """Prepare the scans for training: a row for each picture, and for each slice of a volume or each cube.

        The images are divided by the column `split` of the index, or else 80/10/10 by group, where images of a subject
        and near-duplicates stay together. With fewer than three groups, every image becomes a test image, which is
        enough to reconstruct and to evaluate. The slices of whole volumes are not compared.

        Args:
            folder: Folder for the prepared data set. It must not exist.
            frame: How the scans become images.
            seed: Seed of the division into splits.
            progress: Called after each scan.
            workers: Who reads the scans; they must find files at the same places, and are sent scans in memory.

        Returns:
            The data set, opened from the folder. Constant and unreadable scans are left out and listed in `skipped`.

        Raises:
            DataError: If more than a tenth of the scans is unreadable, none is left, their split leaks, or the folder
                exists or cannot be written.
        """
        options = frame.options(volumes=self._has_volumes)
        read = self.reading.changed()
        read.pop("max_gigabytes", None)  # it changes no image
        if read:
            options = {**options, "reading": read}
        restoring = options.get("whole", False)  # pictures and cubes are the same for restoring and for learning
        dataset = build(
            folder,
            frame,
            fill=lambda spool: _fit_all(
                self.index, frame, self.reading, spool=spool, progress=progress, workers=workers
            ),
            seed=seed,
            name=self.name,
            options=options,
            compare=not restoring,
            allow_leak=self.allow_leak or restoring,
            notes=self.index.notes,
        )
        return replace(dataset, passed_over=self.index.passed_over)

    def sample(self, frame: Frame, *, at_most: int) -> list[Fitted | Skip]:
        """Read some of the scans, evenly spaced, and make their images, without keeping them."""
        paths = list(self.index.table["path"])
        chosen = [paths[row] for row in evenly_spaced(len(paths), at_most)]
        return list(_fit_each(self.index, chosen, frame, self.reading))

    @cached_property
    def _has_volumes(self) -> bool:
        return any(is_volume_at(self.index.place(path)) for path in self.index.table["path"])

    def _fingerprint(self, place: InMemory) -> str:
        """Return the hash of a scan in memory, which is read once for it."""
        if place.name not in self._fingerprints:
            self._fingerprints[place.name] = fingerprint(place, self.reading)
        return self._fingerprints[place.name]


def covering(
    frame: Frame,
    index: Index,
    *,
    multiple_of: int,
    reading: ReadingOptions | None = None,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> Frame:
    """Enlarge a frame for cubes, so that a cube around the middle of each volume contains all of it.

    Args:
        frame: The frame, whose size is the minimum.
        index: The scans. Unreadable scans are ignored here.
        multiple_of: Number that divides the size.
        reading: What to read of files that leave a choice.
        progress: Called after each scan.
        workers: Who reads the scans.

    Raises:
        DataError: If the machine cannot read a scan at this moment.
    """
    side, spacing_mm = frame.size, frame.spacing_mm or 1.0
    places = map(index.place, index.table["path"])
    for done, length_mm in enumerate(workers.map(partial(_length_mm, reading or ReadingOptions()), places), start=1):
        if length_mm is not None:
            side = max(side, ceil(length_mm / spacing_mm) + 1)
        if progress is not None:
            progress(done, len(index.table))
    return replace(frame, size=ceil(side / multiple_of) * multiple_of)


def _length_mm(reading: ReadingOptions, place: Place) -> float | None:
    """Return the length of the longest axis of a volume; None for other scans, and for unreadable ones."""
    try:
        scan = scan_at(place, reading)
    except DataError as cause:
        if problem := _trouble(cause, place):
            raise DataError(_passing(place, problem)) from cause
        return None
    if not scan.is_volume or scan.spacing_mm is None:
        return None
    return max(count * step for count, step in zip(scan.voxels.shape, scan.spacing_mm, strict=True))


def _state_of(file: Path) -> tuple[int, int, bool]:
    """Return the size, the time and the permission of a file."""
    try:
        status = file.stat()
    except OSError:  # such as a dangling link; preparing lists it as unreadable
        return -1, -1, False
    return status.st_size, status.st_mtime_ns, os.access(file, os.R_OK)


def _trouble(cause: BaseException, place: Place) -> str | None:
    return trouble(cause, path=place if isinstance(place, Path) else None)


def _passing(place: Place, problem: str) -> str:
    again = "the file may be intact, so run the command again when the machine can read it"
    return f"{place}: cannot be read at this moment: {problem}; {again}"


def _fit_all(
    index: Index,
    frame: Frame,
    reading: ReadingOptions,
    *,
    spool: Spool,
    progress: Progress | None,
    workers: Workers,
) -> Filled:
    """Append the images of all scans to `spool`."""
    table, paths = index.table, list(index.table["path"])
    rows: list[int] = []
    facts: list[dict[str, Any]] = []
    skips: list[Skip] = []
    said: dict[str, list[str]] = {}
    for row, outcome in enumerate(_fit_each(index, paths, frame, reading, workers=workers)):
        if isinstance(outcome, Fitted):
            of_scan = outcome.origin.facts()
            for note in outcome.notes:
                said.setdefault(note, []).append(paths[row])
            for number, image in enumerate(outcome.images):
                spool.append(image)
                rows.append(row)
                facts.append(of_scan | ({"slice": outcome.slices[number]} if outcome.slices else {}))
                of_scan.pop("nan_mask", None)  # once for each scan
        else:
            skips.append(outcome)
        if progress is not None:
            progress(row + 1, len(paths))
    _judge(index.root, skips, total=len(paths))
    names = dict(zip(paths, undated_paths(table), strict=True))
    manifest, found = table.assign(path=list(names.values())).iloc[rows].reset_index(drop=True), pd.DataFrame(facts)
    for column, usual in ORIGIN_EXTRAS.items():
        if column in found:
            blank = found[column].isna()
            found[column] = found[column].astype(object).where(~blank, usual)
    if "nan_voxels" in found:
        found["nan_voxels"] = found["nan_voxels"].astype(np.int64)
    if "slice" in found:  # the number of a picture is in its name, that of a slice is its index in the volume
        manifest["slice"] = found.pop("slice").astype("Int64").fillna(manifest["slice"])
    skips = [skip._replace(path=names[skip.path], reason=anonymous(skip.reason)) for skip in skips]
    notes = [f"{_listed([names[path] for path in those])}: {note}" for note, those in said.items()]
    return Filled(pd.concat([manifest, found], axis=1), skips, notes)


def _listed(paths: Sequence[str], *, limit: int = 3) -> str:
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more


def _fit_each(
    index: Index, paths: list[str], frame: Frame, reading: ReadingOptions, *, workers: Workers = HERE
) -> Iterator[Fitted | Skip]:
    """Read scans in order; here in threads, which are enough, for decoders release the interpreter lock."""
    threads = min(16, os.cpu_count() or 1)
    pairs = ((path, index.place(path)) for path in paths)
    return workers.map(partial(_fit, frame, reading), pairs, threads=threads, ahead=4 * threads)


def _fit(frame: Frame, reading: ReadingOptions, pair: tuple[str, Place]) -> Fitted | Skip:
    path, place = pair
    try:
        if not is_volume_at(place):
            return fit_scan(place, frame, reading)
        with _VOLUMES:
            return fit_scan(place, frame, reading)
    except (DataError, OSError, MemoryError, UnicodeError) as cause:
        if problem := _trouble(cause, place):
            raise DataError(_passing(place, problem)) from cause
        reason = str(cause).removeprefix(f"{place}: ") or type(cause).__name__
        return Skip(path, printable(reason), constant=isinstance(cause, ConstantImageError | LeftOutError))


def _judge(root: Path, skips: list[Skip], *, total: int) -> None:
    # Constant images are not a sign of damage: the outermost slices of a scan are often empty.
    if skips and total == 1:
        raise DataError(f"{root / skips[0].path}: {skips[0].reason}")
    unreadable = [skip for skip in skips if not skip.constant]
    if len(unreadable) > _TOLERATED * total:
        raise DataError(
            f"{root}: expected readable images, got {len(unreadable)} unreadable of {total}: {_first(unreadable)}"
        )
    if len(skips) == total:
        raise DataError(f"{root}: expected usable images, got none of {total}: {_first(skips)}")


def _first(skips: list[Skip], *, limit: int = 3) -> str:
    more = [f"and {len(skips) - limit} more"] if len(skips) > limit else []
    return "; ".join([f"{skip.path}: {skip.reason}" for skip in skips[:limit]] + more)
