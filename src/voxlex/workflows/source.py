"""Open a source the way an experiment needs it."""

from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import SourceOptions, find_source, open_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent

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
        DataError: If the source cannot be used.
    """
    source = find_source(place, SourceOptions(phantom=config.data.phantom))
    frame = frame_of(config, whole=whole)
    if whole and frame.spatial_dims == 3 and source.index is not None:
        with phases("measuring volumes") as progress:
            frame = covering(frame, source.index, multiple_of=config.model.network.downsampling, progress=progress)
    with phases("preparing") as progress:
        return open_source(source, frame, seed=config.training.seed, progress=progress)


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
