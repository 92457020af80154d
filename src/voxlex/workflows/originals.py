"""The scan files that a data set was prepared from, coded without loss beside their codes."""

import os
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import NamedTuple

from voxlex.config.options import ReadingOptions
from voxlex.data.sources import Source
from voxlex.errors import DataError
from voxlex.rows import go_on
from voxlex.scans.places import Place, samples_at
from voxlex.tables.layouts import undated_paths
from voxlex.workers import HERE, Here, Workers

_THREADS = 4
"""Most scans that are coded at once, since each of them is in memory."""


class Residual(NamedTuple):
    """The samples of a scan as bytes: where they are from, their shape as in `Record.shape`, and the bytes."""

    place: Place
    shape: tuple[int, ...]
    coded: bytes


@dataclass(frozen=True)
class Originals:
    """Where the scans of a source are, and how they are read.

    Attributes:
        places: Where each scan is, by its path in the manifest of the data set.
        reading: What is read of files that leave a choice.
    """

    places: Mapping[str, Place]
    reading: ReadingOptions

    @classmethod
    def of(cls, source: Source, reading: ReadingOptions) -> "Originals":
        """Find the scans of a source.

        Raises:
            DataError: If it does not consist of scan files.
        """
        index = source.index
        if index is None:
            raise DataError(
                f"{source.name}: expected scan files for --lossless, got images that are prepared already; name the "
                "folder or the table that they were prepared from"
            )
        names = undated_paths(index.table)
        return cls({name: index.place(path) for name, path in zip(names, index.table["path"], strict=True)}, reading)

    def coded(self, names: Iterable[str], *, workers: Workers = HERE) -> Generator[Residual]:
        """Yield the samples of scans as residuals; see `archive.exact`. Workers or threads code some in advance.

        When the generator is closed, threads stop before the next slice. Workers must find the files at the same
        places.

        Raises:
            DataError: If the samples of a scan cannot be had exactly.
        """
        threads, stopped = min(_THREADS, os.cpu_count() or 1), Event()
        code = partial(_coded, self.reading, stopped if isinstance(workers, Here) else None)
        places = (self.places[name] for name in names)
        return workers.map(code, places, threads=threads, ahead=2 * threads, stopped=stopped)


def _coded(reading: ReadingOptions, stopped: Event | None, place: Place) -> Residual:
    from voxlex.archive.exact import samples_to_bytes  # compilers take a second to import

    samples = samples_at(place, reading)
    return Residual(place, samples.shape, samples_to_bytes(samples, before_slice=partial(go_on, stopped)))
