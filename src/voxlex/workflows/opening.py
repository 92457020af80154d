"""Open a source for an experiment."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from voxlex.config import Config
from voxlex.config.options import ReadingOptions
from voxlex.data.dataset import FILES, PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import PreparedSource, Source, SourceLike, SourceOptions, find_source, open_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.names import printable
from voxlex.progress import Phases, silent
from voxlex.scans.places import Place, files_at
from voxlex.tables.manifest import participant_tables
from voxlex.workers import HERE, Workers

_LISTED = 20
_NAMES = {name: f"--{name}" for name in ("volume", "series", "plane", "nan")}


def source_of(config: Config, place: SourceLike, reading: ReadingOptions | None = None) -> Source:
    """Return the source at a place, with the settings of an experiment; see `find_source`.

    Args:
        config: The experiment.
        place: Path or name of the source, or scans in memory.
        reading: What to read of scan files. Settings that differ from the defaults count; the others are those of the
            experiment.

    Raises:
        DataError: If there is no such source, or `reading` is given for a source without scan files.
    """
    given = reading or ReadingOptions()
    source = find_source(place, SourceOptions(phantom=config.data.phantom, reading=given.over(config.data.reading)))
    check_readable(source, given)
    return source


def open_for(
    config: Config,
    place: SourceLike,
    *,
    whole: bool = False,
    reading: ReadingOptions | None = None,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> PreparedDataset:
    """Prepare the images of a source with the settings of an experiment, and return them.

    Args:
        config: The experiment.
        place: A source, its path or name, or scans in memory; see `find_source`.
        whole: Take all of each volume, so that it can be restored: every slice, or a cube that is large enough for the
            largest volume. Otherwise only the part that models learn from is taken.
        reading: See `source_of`.
        workers: Who prepares the images.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the source cannot be used, or `reading` is given for a source without scan files.
    """
    source = place if isinstance(place, Source) else source_of(config, place, reading)
    frame = frame_of(config, whole=whole)
    if whole and frame.spatial_dims == 3 and source.index is not None:
        with phases("measuring volumes") as progress:
            frame = covering(
                frame,
                source.index,
                multiple_of=config.model.multiple_of,
                reading=(reading or ReadingOptions()).over(config.data.reading),
                progress=progress,
                workers=workers,
            )
    with phases("preparing") as progress:
        return open_source(source, frame, seed=config.training.seed, progress=progress, workers=workers)


def check_readable(source: Source, reading: ReadingOptions) -> None:
    """Refuse options for reading scan files where a source has none.

    Raises:
        DataError: If a setting differs from its default, and the source is the phantom or a prepared data set.
    """
    if source.index is None and reading.changed():
        options = ", ".join(_NAMES.get(name, f"--reading.{name.replace('_', '-')}") for name in reading.changed())
        raise DataError(f"{source.name}: expected scan files for {options}, got images that are prepared already")


def files_of(place: SourceLike) -> Iterator[Path]:
    """Yield what a source is read from, which no result may replace: its scans, wherever they lie, and its place.

    Args:
        place: See `find_source`.

    Raises:
        DataError: The source cannot be used.
    """
    source = find_source(place)
    if source.index is not None:
        paths = list(source.index.table["path"])
        yield from files_of_scans(map(source.index.place, paths))
        yield from (table for _, table in participant_tables(source.index.root, paths))
    if isinstance(source, PreparedSource):
        yield from (source.folder / name for name in FILES)
    if isinstance(place, str | Path) and Path(place).exists():
        yield Path(place)


def files_of_scans(places: Iterable[Place]) -> Iterator[Path]:
    """Yield the files of scans, and the folder, too, of each that is a series."""
    for place in places:
        yield from {place, *files_at(place)} if isinstance(place, Path) else files_at(place)


def frame_of(config: Config, *, whole: bool = False) -> Frame:
    """Return the frame of an experiment, which describes how scans become images."""
    return Frame.of(config.data, whole=whole)


def skipped_lines(dataset: PreparedDataset) -> list[str]:
    """Return lines of text about the scans that were left out, and about what the others do not say.

    The file `prepared.json` lists all scans that were left out, and the manifest has the columns `unknown` and
    `nan_voxels`.
    """
    skipped = dataset.skipped
    lines = _doubts(dataset)
    if not skipped:
        return lines
    total = dataset.manifest["path"].nunique() + len(skipped)
    listed = [printable(f"  {skip.path}: {skip.reason}") for skip in skipped[:_LISTED]]
    more = [f"  and {len(skipped) - _LISTED} more"] if len(skipped) > _LISTED else []
    return [printable(f"{dataset.name}: skipped {len(skipped)} of {total} images:"), *listed, *more, *lines]


def _doubts(dataset: PreparedDataset) -> list[str]:
    scans = dataset.manifest.drop_duplicates("path")
    lines = [printable(f"{dataset.name}: {note}") for note in dataset.passed_over]
    if "unknown" in scans:
        counts = scans["unknown"][scans["unknown"] != ""].value_counts()
        lines += [
            f"{dataset.name}: {count} of {len(scans)} scans do not say: {words}" for words, count in counts.items()
        ]
    if "nan_voxels" in scans:
        found = scans["nan_voxels"][scans["nan_voxels"] > 0]
        lines.append(
            f"{dataset.name}: {found.sum():,} voxels of {len(found)} scans are not finite numbers, and count as "
            "background"
        )
    return lines


def data_notes(dataset: PreparedDataset) -> list[str]:
    """Return lines of text about what was guessed and what is unknown, to read before anything is learnt from it."""
    return [printable(f"{dataset.name}: {note}") for note in dataset.notes]
