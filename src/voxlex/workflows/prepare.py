"""Prepare a data set in a given folder rather than in the cache."""

from pathlib import Path

from voxlex.data.dataset import PreparedDataset
from voxlex.data.sources import SourceLike, SourceOptions, find_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent
from voxlex.workers import HERE, Workers
from voxlex.workflows.opening import check_readable


def prepare(
    place: SourceLike,
    frame: Frame,
    *,
    out: Path,
    seed: int = 0,
    options: SourceOptions | None = None,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> PreparedDataset:
    """Prepare a source and write it to the folder `out`.

    Args:
        place: Path or name of the source, or scans in memory; see `find_source`.
        frame: How scans become images.
        out: Folder to create. It must not exist.
        seed: Seed of the division into splits, and of the phantom's subjects.
        options: Options of the source.
        workers: Who reads the scans.
        phases: Receives the progress of the work.

    Returns:
        The data set. Its attribute `skipped` lists the scans that were left out.

    Raises:
        DataError: If the source cannot be used, or `out` exists or cannot be written.
    """
    options = options or SourceOptions()
    source = find_source(place, options)
    check_readable(source, options.reading)
    with phases("preparing") as progress:
        return source.prepare(out, frame, seed=seed, progress=progress, workers=workers)
