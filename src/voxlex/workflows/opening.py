"""Open a source the way an experiment needs it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from voxlex.config import Config
from voxlex.data.dataset import FILES, PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import PreparedSource, SourceOptions, find_source, open_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent
from voxlex.scans.listing import dicom_files
from voxlex.tables.manifest import participant_tables

_LISTED = 20


def open_for(config: Config, place: str, *, whole: bool = False, phases: Phases = silent) -> PreparedDataset:
    """Return the images of a source as the experiment wants them, divided by its seed.

    Args:
        config: The experiment.
        place: What a person calls a data set; see `find_source`.
        whole: Take all of a volume and not only what is learned from, so that it can be put together again: every
            slice, or a cube that is large enough for all of each volume.
        phases: Told of what takes time.

    Raises:
        DataError: The source cannot be used.
    """
    source = find_source(place, SourceOptions(phantom=config.data.phantom))
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
    """Return how an experiment turns scans into images."""
    data = config.data
    return Frame(size=data.size, slices=data.slices, spacing_mm=data.spacing_mm, whole=whole)


def skipped_lines(dataset: PreparedDataset) -> list[str]:
    """Say in lines of text which scans were left out and why; all of them are in `prepared.json`."""
    skipped = dataset.skipped
    if not skipped:
        return []
    total = dataset.manifest["path"].nunique() + len(skipped)
    listed = [f"  {skip.path}: {skip.reason}" for skip in skipped[:_LISTED]]
    more = [f"  and {len(skipped) - _LISTED} more"] if len(skipped) > _LISTED else []
    return [f"{dataset.name}: skipped {len(skipped)} of {total} images:", *listed, *more]
