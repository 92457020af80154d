"""Open a source the way an experiment needs it, and say what had to be left out."""

from rich.console import Console

from voxlex.config import Config
from voxlex.data.prepared import PreparedDataset
from voxlex.data.sources import open_source
from voxlex.workflows.progress import progress_bar

_LISTED = 20


def open_for(config: Config, source: str) -> PreparedDataset:
    """Return the images of a source at the experiment's size, divided by its seed.

    Raises:
        DataError: If the source cannot be used.
    """
    with progress_bar("preparing") as progress:
        dataset = open_source(
            source,
            size=config.data.size,
            seed=config.training.seed,
            phantom=config.data.phantom,
            spatial_dims=config.model.spatial_dims,
            spacing_mm=config.data.spacing_mm,
            progress=progress,
        )
    list_skipped(dataset)
    return dataset


def list_skipped(dataset: PreparedDataset) -> None:
    """Print which images were left out and why, on standard error; all of them are in `prepared.json`."""
    if not dataset.skipped:
        return
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{dataset.name}: skipped {len(dataset.skipped)} of {len(dataset) + len(dataset.skipped)} images:")
    for path, reason in dataset.skipped[:_LISTED]:
        console.print(f"  {path}: {reason}")
    if len(dataset.skipped) > _LISTED:
        console.print(f"  and {len(dataset.skipped) - _LISTED} more")
