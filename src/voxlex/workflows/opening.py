"""Open a source for an experiment."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from voxlex.config import Config
from voxlex.data.dataset import FILES, PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import PreparedSource, Source, SourceOptions, find_source, open_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent
from voxlex.scans.listing import dicom_files
from voxlex.tables.manifest import participant_tables

_LISTED = 20


def source_of(config: Config, place: str) -> Source:
    """Return the source at a place, with the settings of an experiment; see `find_source`.

    Raises:
        DataError: If there is no such source.
    """
    return find_source(place, SourceOptions(phantom=config.data.phantom))


def open_for(config: Config, place: str | Source, *, whole: bool = False, phases: Phases = silent) -> PreparedDataset:
    """Prepare the images of a source with the settings of an experiment, and return them.

    Args:
        config: The experiment.
        place: A source, or its path or name; see `find_source`.
        whole: Take all of each volume, so that it can be restored: every slice, or a cube that is large enough for the
            largest volume. Otherwise only the part that models learn from is taken.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the source cannot be used.
    """
    source = source_of(config, place) if isinstance(place, str) else place
    frame = frame_of(config, whole=whole)
    if whole and frame.spatial_dims == 3 and source.index is not None:
        with phases("measuring volumes") as progress:
            frame = covering(frame, source.index, multiple_of=config.model.network.downsampling, progress=progress)
    with phases("preparing") as progress:
        return open_source(source, frame, seed=config.training.seed, progress=progress)


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
        if (root / path).is_dir():
            yield from dicom_files(root / path)


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
