"""Open any source of images, and prepare and cache it if necessary."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from voxlex.config.options import PhantomOptions, ReadingOptions
from voxlex.data.cache import cached, place_of
from voxlex.data.dataset import PreparedDataset, is_prepared
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.files import cache_folder
from voxlex.images.frame import Frame
from voxlex.names import printable, resolved
from voxlex.progress import Progress
from voxlex.scans.places import held_by_name
from voxlex.stores.fetching import at_hand
from voxlex.tables.manifest import Index
from voxlex.workers import HERE, Workers


@runtime_checkable
class Source(Protocol):
    """A source of images. A new kind of source needs a class with these methods, and an entry in `KINDS`."""

    @property
    def name(self) -> str:
        """Short name of the source, for messages and for the folder in the cache."""

    @property
    def index(self) -> Index | None:
        """The scans, if the source consists of scans; None otherwise."""

    def ready(self, frame: Frame | None) -> PreparedDataset | None:
        """Return the images if they are prepared already; None if `prepare` must make them.

        Args:
            frame: The frame that they must have; None for any frame.

        Raises:
            DataError: If they were prepared with another frame.
        """

    def state(self, frame: Frame) -> list[object]:
        """Return everything except the seed that the images depend on, in types that JSON can store.

        As long as it does not change, the images in the cache are valid. No scan is opened.
        """

    def prepare(
        self,
        folder: Path,
        frame: Frame,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        workers: Workers = HERE,
    ) -> PreparedDataset:
        """Make the images, divide them into splits, and write them as a prepared data set to a new folder.

        Raises:
            DataError: If the source cannot be used, or the folder exists or cannot be written.
        """


@dataclass(frozen=True)
class PreparedSource:
    """A folder with a prepared data set. Its images are already divided, so the seed has no effect.

    Attributes:
        folder: The folder.
    """

    folder: Path
    index = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return printable(resolved(self.folder).name)

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
        self,
        folder: str | Path,
        frame: Frame,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        workers: Workers = HERE,
    ) -> PreparedDataset:
        """Copy the images as they are."""
        self.ready(frame).write(folder)
        return PreparedDataset.open(folder)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Options of sources. Each kind of source uses the options that apply to it.

    Attributes:
        phantom: Options of the phantom.
        allow_leak: Whether to use the splits of a table even if subjects or near-duplicates cross them.
        reading: What to read of scan files that leave a choice, and what to assume where they say nothing.
        subject: Column of a table that names persons; by default, it is known by its name.
    """

    phantom: PhantomOptions = field(default_factory=PhantomOptions)
    allow_leak: bool = False
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    subject: str | None = None


SourceLike = str | Path | Any
"""What a source can be opened from; see `find_source`."""


class Kind(NamedTuple):
    """A kind of source.

    Attributes:
        fits: Function that tells whether a place, or scans in memory by their names, are of this kind.
        make: Function that makes a source of such a place.
    """

    fits: Callable[[Any], bool]
    make: Callable[[Any, SourceOptions], Source]


KINDS = (
    Kind(
        lambda place: isinstance(place, dict),
        lambda images, options: ScanSource.of(images, allow_leak=options.allow_leak, reading=options.reading),
    ),
    Kind(lambda place: place == PhantomSource.name, lambda _, options: PhantomSource(options.phantom)),
    Kind(lambda place: is_prepared(Path(place)), lambda place, _: PreparedSource(Path(place))),
    Kind(
        lambda place: Path(place).exists(),
        lambda place, options: ScanSource.at(
            place, allow_leak=options.allow_leak, reading=options.reading, subject=options.subject
        ),
    ),
)
"""All kinds of sources. The first that fits is used. For a folder named "phantom", write "./phantom"."""


def find_source(place: SourceLike, options: SourceOptions | None = None) -> Source:
    """Return the source for a path, for a name, or for scans in memory.

    Args:
        place: "phantom", a prepared folder, a folder of scans, a single scan, or a table of scans (.csv, .tsv,
            .parquet); or scans in memory, one, a list, or a dictionary by name, as `as_scan` and `held_by_name` take
            them. A source is returned as it is.
        options: Options of the source.

    Raises:
        DataError: If there is no such file or folder, or no scan in it.
        TypeError: If it is something else.
    """
    if isinstance(place, Source):
        return place
    given = str(place) if isinstance(place, str | Path) else held_by_name(place)
    if not given or (isinstance(given, str) and not given.strip()):
        raise DataError("source: expected a path or a name, got an empty text; '.' is the current folder")
    for kind in KINDS:
        if kind.fits(given):
            return kind.make(given, options or SourceOptions())
    meant = (
        f"; did you mean {PhantomSource.name!r}?" if get_close_matches(str(place).lower(), [PhantomSource.name]) else ""
    )
    raise DataError(f"{place}: no such file or folder{meant}")


def open_source(
    source: SourceLike,
    frame: Frame | None = None,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> PreparedDataset:
    """Open a source of images, and prepare it first if necessary.

    Prepared images are kept in the cache. They are used again as long as the files (names, sizes and times), or the
    contents of scans in memory, the frame and the seed are the same.

    Args:
        source: A source, its path or name, or scans in memory; see `find_source`. Or an address such as
            "s3://bucket/scans".
        frame: How scans become images. By default, a prepared folder is used unchanged, and other sources become images
            of 128×128 pixels.
        seed: Seed of the division into splits, and of the phantom's subjects. It has no effect on a prepared folder.
        cache: Folder of the cache; by default the environment variable VOXLEX_CACHE, else the user's cache folder.
        progress: Called after each scan that is prepared.
        workers: Who prepares them.

    Raises:
        DataError: If the source cannot be used, was prepared at another size or spacing, or the cache cannot be
            written.
    """
    source = find_source(at_hand(source) if isinstance(source, str | Path) else source)
    dataset = source.ready(frame)
    if dataset is None:
        own = Frame() if frame is None else frame
        dataset = _from_cache(source, own, seed=seed, cache=cache, progress=progress, workers=workers)
    if source.index is None:
        return dataset
    return replace(dataset, passed_over=source.index.passed_over)


def place_in_cache(source: Source, frame: Frame, *, seed: int, cache: str | Path | None = None) -> Path:
    """Return where the prepared images of a source are kept, there or not."""
    return place_of([*source.state(frame), seed], cache=cache_folder(cache), size=frame.size)


def _from_cache(
    source: Source,
    frame: Frame,
    *,
    seed: int,
    cache: str | Path | None,
    progress: Progress | None,
    workers: Workers,
) -> PreparedDataset:
    return cached(
        cache_folder(cache),
        lambda: [*source.state(frame), seed],
        name=source.name,
        size=frame.size,
        prepare=lambda folder: source.prepare(folder, frame, seed=seed, progress=progress, workers=workers),
    )
