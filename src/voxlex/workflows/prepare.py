"""Make a prepared data set where a person wants it, rather than in the cache."""

from pathlib import Path

from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.slices import prepare_phantom
from voxlex.data.phantoms.volumes import prepare_phantom_volumes
from voxlex.data.prepare import prepare_folder
from voxlex.data.sources import PHANTOM, check_source
from voxlex.images.frame import Frame
from voxlex.progress import silent as progress_bar
from voxlex.workflows.source import list_skipped


def prepare(
    source: str,
    *,
    out: Path,
    size: int,
    seed: int,
    slices: SliceOptions,
    phantom: PhantomOptions,
    spacing_mm: float | None = None,
    allow_leak: bool = False,
) -> PreparedDataset:
    """Prepare scans, or the phantom, as the folder `out`; the arguments are those of `open_source`.

    With `spacing_mm`, volumes become cubes; without, slices.

    Raises:
        DataError: If the source cannot be used, or `out` exists or cannot be written.
        ValueError: If size or spacing cannot be.
    """
    Frame(size=size, spatial_dims=2 if spacing_mm is None else 3, spacing_mm=spacing_mm)  # it knows what cannot be
    check_source(source)
    with progress_bar("preparing") as progress:
        if source == PHANTOM and spacing_mm is not None:
            dataset = prepare_phantom_volumes(
                phantom, folder=out, size=size, spacing_mm=spacing_mm, seed=seed, progress=progress
            )
        elif source == PHANTOM:
            dataset = prepare_phantom(phantom, folder=out, size=size, seed=seed, progress=progress)
        else:
            dataset = prepare_folder(
                source,
                folder=out,
                size=size,
                seed=seed,
                spatial_dims=2 if spacing_mm is None else 3,
                slices=slices,
                spacing_mm=spacing_mm,
                allow_leak=allow_leak,
                progress=progress,
            )
    list_skipped(dataset)
    return dataset
