"""Open a source for an experiment."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from voxlex.config import Config
from voxlex.config.options import ReadingOptions
from voxlex.data.dataset import FILES, PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import PreparedSource, Source, SourceOptions, find_source, open_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent
from voxlex.scans.listing import files_of_scan
from voxlex.tables.manifest import participant_tables

_LISTED = 20
_NAMES = {"volume": "--volume", "series": "--series", "nan": "--nan"}


def open_for(
    config: Config,
    place: str,
    *,
    whole: bool = False,
    reading: ReadingOptions | None = None,
    phases: Phases = silent,
) -> PreparedDataset:
    """Prepare the images of a source with the settings of an experiment, and return them.

    Args:
        config: The experiment.
        place: Path or name of the source; see `find_source`.
        whole: Take all of each volume, so that it can be restored: every slice, or a cube that is large enough for the
            largest volume. Otherwise only the part that models learn from is taken.
        reading: What to read of scan files. Settings that differ from the defaults count; the others are those of the
            experiment.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the source cannot be used, or `reading` is given for a source without scan files.
    """
    given = reading or ReadingOptions()
    reading = given.over(config.data.reading)
    source = find_source(place, SourceOptions(phantom=config.data.phantom, reading=reading))
    check_readable(source, given)
    frame = frame_of(config, whole=whole)
    if whole and frame.spatial_dims == 3 and source.index is not None:
        with phases("measuring volumes") as progress:
            frame = covering(
                frame,
                source.index,
                multiple_of=config.model.network.downsampling,
                reading=reading,
                progress=progress,
            )
    with phases("preparing") as progress:
        return open_source(source, frame, seed=config.training.seed, progress=progress)


def check_readable(source: Source, reading: ReadingOptions) -> None:
    """Refuse options for reading scan files where a source has none.

    Raises:
        DataError: If a setting differs from its default, and the source is the phantom or a prepared data set.
    """
    if source.index is None and reading.changed():
        options = ", ".join(_NAMES.get(name, f"--reading.{name.replace('_', '-')}") for name in reading.changed())
        raise DataError(f"{source.name}: expected scan files for {options}, got images that are prepared already")


def files_of(place: str | Path) -> Iterator[Path]:
    """Yield what a source is read from, which no result may replace: its scans, wherever they lie, and its place.

    Raises:
        DataError: The source cannot be used.
    """
    source = find_source(place)
    if source.index is not None:
        root, paths = source.index.root, list(source.index.table["path"])
        yield from files_of_scans(root, paths)
        yield from (table for _, table in participant_tables(root, paths))
    if isinstance(source, PreparedSource):
        yield from (source.folder / name for name in FILES)
    if Path(place).exists():
        yield Path(place)


def files_of_scans(root: Path, paths: Iterable[str]) -> Iterator[Path]:
    """Yield the files of scans, and the folder, too, of each that is a series."""
    for path in paths:
        yield root / path
        if (files := files_of_scan(root / path)) != [root / path]:
            yield from files


def frame_of(config: Config, *, whole: bool = False) -> Frame:
    """Return the frame of an experiment, which describes how scans become images."""
    data = config.data
    return Frame(size=data.size, slices=data.slices, spacing_mm=data.spacing_mm, whole=whole)


def skipped_lines(dataset: PreparedDataset) -> list[str]:
    """Return lines of text about the scans that were left out. The file `prepared.json` lists all of them."""
    skipped = dataset.skipped
    if not skipped:
        return []
    total = dataset.manifest["path"].nunique() + len(skipped)
    listed = [f"  {skip.path}: {skip.reason}" for skip in skipped[:_LISTED]]
    more = [f"  and {len(skipped) - _LISTED} more"] if len(skipped) > _LISTED else []
    return [f"{dataset.name}: skipped {len(skipped)} of {total} images:", *listed, *more]
