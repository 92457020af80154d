"""Make a prepared data set where a person wants it, rather than in the cache."""

from pathlib import Path

from voxlex.data.dataset import PreparedDataset
from voxlex.data.sources import SourceOptions, find_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent


def prepare(
    place: str,
    frame: Frame,
    *,
    out: Path,
    seed: int = 0,
    options: SourceOptions | None = None,
    phases: Phases = silent,
) -> PreparedDataset:
    """Prepare a source as the folder `out`.

    Args:
        place: What a person calls a data set; see `find_source`.
        frame: How scans become images.
        out: Folder to make; it must not exist.
        seed: Seed of the division into splits, and of the phantom's subjects.
        options: What the source must be told beside its place.
        phases: Told of what takes time.

    Returns:
        The data set, with what was left out in `skipped`.

    Raises:
        DataError: If the source cannot be used, or `out` exists or cannot be written.
    """
    source = find_source(place, options)
    with phases("preparing") as progress:
        return source.prepare(out, frame, seed=seed, progress=progress)
