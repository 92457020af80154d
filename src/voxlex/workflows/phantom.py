"""Write the embedded data set as files."""

from collections.abc import Iterator
from pathlib import Path

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.label_maps import write_synthesised
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.progress import Phases, silent
from voxlex.scans.listing import find_scans
from voxlex.workflows.opening import files_of_scans
from voxlex.workflows.results import output_folder


def write(
    out: Path,
    frame: Frame,
    *,
    options: PhantomOptions,
    seed: int = 0,
    overwrite: bool = False,
    phases: Phases = silent,
) -> list[Path]:
    """Write the slices of the phantom as PNG, or, if the frame has a spacing, its heads as NIfTI.

    Returns:
        The files.

    Raises:
        DataError: If the folder cannot be used, or a file cannot be written.
    """
    output_folder(out, overwrite=overwrite)
    with phases("writing") as progress:
        return PhantomSource(options).write(out, frame, seed=seed, progress=progress)


def write_from_labels(
    out: Path, labels: Path, *, seed: int = 0, overwrite: bool = False, phases: Phases = silent
) -> list[Path]:
    """Write a synthetic volume for every label map of a folder.

    Returns:
        The files.

    Raises:
        DataError: If the folder or a label map cannot be used.
    """
    output_folder(out, overwrite=overwrite, reads=_label_maps(labels))
    with phases("writing") as progress:
        return write_synthesised(out, labels, seed=seed, progress=progress)


def _label_maps(folder: Path) -> Iterator[Path]:
    yield folder
    yield from files_of_scans(folder / name for name in find_scans(folder))
