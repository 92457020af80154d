"""Write the embedded data set as files."""

from pathlib import Path

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.label_maps import write_synthesised
from voxlex.data.phantoms.slices import write_phantom
from voxlex.data.phantoms.volumes import write_phantom_volumes
from voxlex.images.frame import Frame
from voxlex.progress import silent as progress_bar
from voxlex.workflows.outputs import output_folder


def write(
    out: Path, *, options: PhantomOptions, size: int, spacing_mm: float | None, seed: int, overwrite: bool = False
) -> int:
    """Write the phantom's slices as PNG, or, with `spacing_mm`, its heads as NIfTI.

    Returns:
        The number of files.

    Raises:
        DataError: If the folder is in the way, or a file cannot be written.
        ValueError: If size or spacing cannot be.
    """
    Frame(size=size, spatial_dims=2 if spacing_mm is None else 3, spacing_mm=spacing_mm)  # it knows what cannot be
    output_folder(out, overwrite=overwrite)
    if spacing_mm is None:
        return len(write_phantom(out, options=options, size=size, seed=seed))
    with progress_bar("writing") as progress:
        paths = write_phantom_volumes(
            out, options=options, size=size, spacing_mm=spacing_mm, seed=seed, progress=progress
        )
    return len(paths)


def write_from_labels(out: Path, labels: Path, *, seed: int, overwrite: bool = False) -> int:
    """Write a made-up volume for every label map of a folder.

    Returns:
        The number of files.

    Raises:
        DataError: If the folder is in the way, or a label map cannot be used.
    """
    output_folder(out, overwrite=overwrite)
    with progress_bar("writing") as progress:
        return len(write_synthesised(out, labels, seed=seed, progress=progress))
