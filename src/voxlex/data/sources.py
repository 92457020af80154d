"""One door to all data: whatever a person calls a data set is found out, and prepared where it must be."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import platformdirs

from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import FORMAT_VERSION, PreparedDataset, is_prepared
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.progress import Progress
from voxlex.tables.manifest import Index


@runtime_checkable
class Source(Protocol):
    """What images can be made from. A new kind of source is a class like this, and an entry in `KINDS`."""

    @property
    def name(self) -> str:
        """Short name, for messages and for the folder in the cache."""

    @property
    def index(self) -> Index | None:
        """The scans, where the source has files that can be looked at one by one; else None."""

    def ready(self, frame: Frame | None) -> PreparedDataset | None:
        """Return the images where they are prepared already; None where `prepare` must make them.

        Args:
            frame: How they must have been prepared; None where that does not matter.

        Raises:
            DataError: If they were prepared in another way.
        """

    def state(self, frame: Frame) -> list[object]:
        """Return all that the prepared images depend on but the seed, in types that JSON knows.

        Whoever finds it unchanged may take the images from the cache. No scan is opened for it.
        """

    def prepare(
        self, folder: Path, frame: Frame, *, seed: int = 0, progress: Progress | None = None
    ) -> PreparedDataset:
        """Make the images and write them, divided into splits, as a prepared data set into a new folder.

        Raises:
            DataError: If the source cannot be used, or the folder exists or cannot be written.
        """


@dataclass(frozen=True)
class PreparedSource:
    """A folder that holds a prepared data set. Its images are divided already, so that no seed changes them.

    Attributes:
        folder: The folder.
    """

    folder: Path
    index = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    def ready(self, frame: Frame | None) -> PreparedDataset:
        """Open the folder.

        Raises:
            DataError: If it was prepared at another size or spacing, or is damaged.
        """
        dataset = PreparedDataset.open(self.folder)
        if frame is None:
            return dataset
        found, expected = "×".join(map(str, dataset.images.shape[2:])), "×".join(map(str, frame.shape))
        if found != expected:
            raise DataError(f"{self.folder}: expected images of {expected}, got a set prepared at {found}")
        spacing_mm = dataset.options.get("spacing_mm")
        if spacing_mm != frame.spacing_mm:
            raise DataError(
                f"{self.folder}: expected voxels of {frame.spacing_mm} mm, got a set prepared at {spacing_mm} mm"
            )
        return dataset

    def state(self, frame: Frame) -> list[object]:
        """Return the fingerprint of the images."""
        return ["prepared", self.ready(frame).fingerprint]

    def prepare(
        self, folder: str | Path, frame: Frame, *, seed: int = 0, progress: Progress | None = None
    ) -> PreparedDataset:
        """Copy the images as they are."""
        self.ready(frame).write(folder)
        return PreparedDataset.open(folder)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What sources must be told beside their place; each kind takes what concerns it.

    Attributes:
        phantom: What the phantom should be like.
        allow_leak: Take a split that a table brings as it is, even if subjects or near-duplicates cross it.
    """

    phantom: PhantomOptions = field(default_factory=PhantomOptions)
    allow_leak: bool = False


class Kind(NamedTuple):
    """A kind of source.

    Attributes:
        fits: Tells whether a place is one of these.
        make: Makes the source of a place that fits.
    """

    fits: Callable[[str], bool]
    make: Callable[[str, SourceOptions], Source]


KINDS = (
    Kind(lambda place: place == PhantomSource.name, lambda _, options: PhantomSource(options.phantom)),
    Kind(lambda place: is_prepared(Path(place)), lambda place, _: PreparedSource(Path(place))),
    Kind(
        lambda place: Path(place).exists(), lambda place, options: ScanSource.at(place, allow_leak=options.allow_leak)
    ),
)
"""All kinds of sources; the first that fits is taken. A folder named "phantom" is reached as "./phantom"."""


def find_source(place: str | Path, options: SourceOptions | None = None) -> Source:
    """Find out what a person means by the name of a data set.

    Args:
        place: "phantom", a prepared folder, a folder of scans, a single scan, or a table of scans (.csv, .tsv,
            .parquet).
        options: What it must be told beside its place.

    Raises:
        DataError: If there is no such file or folder, or no scan in it.
    """
    for kind in KINDS:
        if kind.fits(str(place)):
            return kind.make(str(place), options or SourceOptions())
    meant = (
        f"; did you mean {PhantomSource.name!r}?" if get_close_matches(str(place).lower(), [PhantomSource.name]) else ""
    )
    raise DataError(f"{place}: no such file or folder{meant}")


def open_source(
    source: str | Path | Source,
    frame: Frame | None = None,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Open whatever a person calls a data set, and prepare it first where that is needed.

    What was prepared is kept in the cache and used again as long as the files (names, sizes, times), the frame and the
    seed are the same.

    Args:
        source: A source, or what a person calls one; see `find_source`.
        frame: How scans become images. By default a prepared folder is taken as it is, and of all else images of
            128×128 pixels are made.
        seed: Seed of the division into splits, and of the phantom's subjects. A prepared folder is divided already.
        cache: Folder of the cache; by default the environment variable VOXLEX_CACHE, else the user's cache folder.
        progress: Called after each scan that is prepared.

    Raises:
        DataError: If the source cannot be used, was prepared at another size or spacing, or the cache cannot be
            written.
    """
    if isinstance(source, str | Path):
        source = find_source(source)
    dataset = source.ready(frame)
    if dataset is not None:
        return dataset
    frame = Frame() if frame is None else frame
    folder = cache_folder(cache) / f"{source.name}-{frame.size}-{_key([*source.state(frame), seed])}"
    if folder.exists():
        try:
            return PreparedDataset.open(folder)
        except DataError:  # damaged since: the source is there, so make it anew
            shutil.rmtree(folder, ignore_errors=True)
    with _workplace(folder.parent) as workplace:
        source.prepare(workplace / folder.name, frame, seed=seed, progress=progress)
        _move(workplace / folder.name, folder)
    return PreparedDataset.open(folder)


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return the folder in which prepared data sets are kept: `cache`, else VOXLEX_CACHE, else the user's own."""
    return Path(cache or os.environ.get("VOXLEX_CACHE") or platformdirs.user_cache_path("voxlex"))


def _key(content: list[object]) -> str:
    text = json.dumps([FORMAT_VERSION, *content], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """Make a hidden folder in the cache, where a data set is prepared before others see it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(dir=cache, prefix="."))
    except OSError as cause:
        message = f"{cache}: the cache cannot be written: {cause.strerror}; set VOXLEX_CACHE to another folder"
        raise DataError(message) from cause
    try:
        yield workplace
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _move(made: Path, folder: Path) -> None:
    try:
        made.replace(folder)
    except OSError as cause:
        # Mostly another process has put the same data set there in the meantime: then use that one.
        if not is_prepared(folder):
            raise DataError(f"{folder}: cannot be written: {cause.strerror}") from cause
