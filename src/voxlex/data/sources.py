"""Open any source of images, and prepare and cache it if necessary."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import platformdirs

from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import FILES, FORMAT_VERSION, PreparedDataset, is_prepared
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.files import move, remove_among, workplace
from voxlex.images.frame import Frame
from voxlex.progress import Progress
from voxlex.tables.manifest import Index


@runtime_checkable
class Source(Protocol):
    """A source of images. A new kind of source needs a class with these methods, and an entry in `KINDS`."""

    @property
    def name(self) -> str:
        """Short name of the source, for messages and for the folder in the cache."""

    @property
    def index(self) -> Index | None:
        """The scans, if the source consists of scan files; None otherwise."""

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
        self, folder: Path, frame: Frame, *, seed: int = 0, progress: Progress | None = None
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
    """Options of sources. Each kind of source uses the options that apply to it.

    Attributes:
        phantom: Options of the phantom.
        allow_leak: Whether to use the splits of a table even if subjects or near-duplicates cross them.
    """

    phantom: PhantomOptions = field(default_factory=PhantomOptions)
    allow_leak: bool = False


class Kind(NamedTuple):
    """A kind of source.

    Attributes:
        fits: Function that tells whether a place is of this kind.
        make: Function that makes a source of such a place.
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
"""All kinds of sources. The first that fits is used. For a folder named "phantom", write "./phantom"."""


def find_source(place: str | Path, options: SourceOptions | None = None) -> Source:
    """Return the source for a path or a name.

    Args:
        place: "phantom", a prepared folder, a folder of scans, a single scan, or a table of scans (.csv, .tsv,
            .parquet).
        options: Options of the source.

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
    """Open a source of images, and prepare it first if necessary.

    Prepared images are kept in the cache. They are used again as long as the files (names, sizes and times), the frame
    and the seed are the same.

    Args:
        source: A source, or its path or name; see `find_source`.
        frame: How scans become images. By default, a prepared folder is used unchanged, and other sources become images
            of 128×128 pixels.
        seed: Seed of the division into splits, and of the phantom's subjects. It has no effect on a prepared folder.
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
    folder = place_in_cache(source, frame, seed=seed, cache=cache)
    if folder.exists():
        try:
            return PreparedDataset.open(folder)
        except DataError:  # the cache is damaged, so prepare the source again
            remove_among(folder, FILES)
    with _workplace(folder.parent) as aside:
        source.prepare(aside / folder.name, frame, seed=seed, progress=progress)
        _move(aside / folder.name, folder)
    return PreparedDataset.open(folder)


def place_in_cache(source: Source, frame: Frame, *, seed: int, cache: str | Path | None = None) -> Path:
    """Return where the prepared images of a source are kept, there or not."""
    return cache_folder(cache) / f"{source.name}-{frame.size}-{_key([*source.state(frame), seed])}"


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return the folder of the cache: `cache`, else VOXLEX_CACHE, else the cache folder of the user."""
    return Path(cache or os.environ.get("VOXLEX_CACHE") or platformdirs.user_cache_path("voxlex"))


def _key(content: list[object]) -> str:
    text = json.dumps([FORMAT_VERSION, *content], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """Create a hidden folder in the cache, in which a data set is prepared before it is moved into place."""
    with ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            aside = stack.enter_context(workplace(cache))
        except OSError as cause:
            message = f"{cache}: the cache cannot be written: {cause.strerror}; set VOXLEX_CACHE to another folder"
            raise DataError(message) from cause
        yield aside


def _move(made: Path, folder: Path) -> None:
    try:
        move(made, folder)
    except OSError as cause:
        # Usually another process has written the same data set in the meantime. Then use that one.
        if not is_prepared(folder):
            raise DataError(f"{folder}: cannot be written: {cause.strerror}") from cause
