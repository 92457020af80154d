"""Make a prepared data set where a person wants it, rather than in the cache."""

from pathlib import Path

from voxlex.data.options import PhantomOptions
from voxlex.data.phantom import prepare_phantom
from voxlex.data.prepare import prepare_folder
from voxlex.data.prepared import PreparedDataset
from voxlex.data.sources import PHANTOM
from voxlex.workflows.progress import progress_bar
from voxlex.workflows.source import list_skipped


def prepare(
    source: str, *, out: Path, size: int, seed: int, phantom: PhantomOptions, allow_leak: bool = False
) -> PreparedDataset:
    """Prepare a folder of images, or the phantom, as the folder `out`; the arguments are those of `open_source`.

    Raises:
        DataError: If the source cannot be used, or `out` exists or cannot be written.
    """
    with progress_bar("preparing") as progress:
        if source == PHANTOM:
            dataset = prepare_phantom(phantom, folder=out, size=size, seed=seed, progress=progress)
        else:
            dataset = prepare_folder(source, folder=out, size=size, seed=seed, allow_leak=allow_leak, progress=progress)
    list_skipped(dataset)
    return dataset
