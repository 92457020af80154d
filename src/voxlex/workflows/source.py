"""Open a source for an experiment."""

from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset
from voxlex.data.scan_source import covering
from voxlex.data.sources import SourceOptions, find_source, open_source
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent

_LISTED = 20


def open_for(config: Config, place: str, *, whole: bool = False, phases: Phases = silent) -> PreparedDataset:
    """Prepare the images of a source with the settings of an experiment, and return them.

    Args:
        config: The experiment.
        place: Path or name of the source; see `find_source`.
        whole: Take all of each volume, so that it can be restored: every slice, or a cube that is large enough for the
            largest volume. Otherwise only the part that models learn from is taken.
        phases: Receives the progress of the work.

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
