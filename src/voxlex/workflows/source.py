"""Open a source the way an experiment needs it, and say what had to be left out."""

from pathlib import Path

from rich.console import Console

from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset, is_prepared
from voxlex.data.prepare import covering_size
from voxlex.data.sources import PHANTOM, check_source, open_source
from voxlex.progress import silent as progress_bar
from voxlex.tables.manifest import index_source

_LISTED = 20


def open_for(config: Config, source: str, *, whole: bool = False) -> PreparedDataset:
    """Return the images of a source as the experiment wants them, divided by its seed.

    Args:
        config: The experiment.
        source: What a person calls a data set; see `open_source`.
        whole: Take all of a volume and not only what is learned from, so that it can be put together again: every
            slice, or a cube that is large enough for all of each volume.

    Raises:
        DataError: If the source cannot be used.
    """
    check_source(source)
    size = config.data.size
    if whole and config.model.spatial_dims == 3 and source != PHANTOM and not is_prepared(Path(source)):
        size = covering_size(
            index_source(source),
            spacing_mm=config.data.spacing_mm or 1.0,
            at_least=size,
            multiple_of=config.model.network.downsampling,
        )
    with progress_bar("preparing") as progress:
        dataset = open_source(
            source,
            size=size,
            seed=config.training.seed,
            spatial_dims=config.model.spatial_dims,
            slices=config.data.slices,
            spacing_mm=config.data.spacing_mm,
            whole=whole,
            phantom=config.data.phantom,
            progress=progress,
        )
    list_skipped(dataset)
    return dataset


def list_skipped(dataset: PreparedDataset) -> None:
    """Print which scans were left out and why, on standard error; all of them are in `prepared.json`."""
    if not dataset.skipped:
        return
    total = dataset.manifest["path"].nunique() + len(dataset.skipped)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{dataset.name}: skipped {len(dataset.skipped)} of {total} images:")
    for path, reason in dataset.skipped[:_LISTED]:
        console.print(f"  {path}: {reason}")
    if len(dataset.skipped) > _LISTED:
        console.print(f"  and {len(dataset.skipped) - _LISTED} more")
