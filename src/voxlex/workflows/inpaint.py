"""Redraw a region of a scan in several versions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxlex.config import Decoding, ReadingOptions
from voxlex.images.redrawing import Redrawing
from voxlex.outputs import SUFFIXES, check_folder
from voxlex.progress import Phases, silent
from voxlex.scans.places import place_of
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.opening import files_of_scans, frame_of
from voxlex.workflows.results import output_folder, remove_numbered
from voxlex.workflows.versions import DRAW, write_versions


def inpaint(
    vocabulary: Vocabulary,
    image: Any,
    *,
    mask: Any,
    out: Path,
    count: int = 8,
    condition: Mapping[str, Any] | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    decoding: Decoding | None = None,
    reading: ReadingOptions | None = None,
    overwrite: bool = False,
    phases: Phases = silent,
) -> None:
    """Redraw a region of a scan, and write the versions, their mean and deviation, and a sheet.

    The versions have the scan's own grid and grey values, and outside the region they equal the scan. See
    `write_versions` for the files. A vocabulary of images takes pictures. A vocabulary of volumes takes volumes: it
    sees a cube around the head, and the region must lie in this cube.

    Args:
        vocabulary: A vocabulary with a prior.
        image: The scan: a file, the folder of a DICOM series, or a scan in memory as `as_scan` takes it.
        mask: A file of any format, or a scan in memory, with the same grid. It is 0 outside the region to redraw.
        out: Folder for the results.
        count: Number of independent draws.
        condition: Known values of the prior's conditions for this scan, by name.
        temperature: A value below 1 keeps draws close to what is likely.
        seed: The same seed gives the same images on the same machine.
        decoding: How codes become images; None for the textured decoder if there is one.
        reading: What to read of the scan's file. Settings that differ from the defaults count; the others are those of
            the run. The volume and the series do not apply to the mask.
        overwrite: Write into a folder that is not empty. Further draws of an earlier call are removed.
        phases: Receives the progress of the work.

    Raises:
        RunError: If the vocabulary does not have a prior.
        DataError: If a scan cannot be read, it is a picture and the vocabulary takes volumes or vice versa, the
            mask does not fit the scan, or the folder cannot be used.
        ValueError: If an argument is out of range, or a condition is unknown.
    """
    vocabulary.check_decoding(decoding or "faithful")
    reads = files_of_scans([place_of(image, name="image"), place_of(mask, name="mask")])
    check_folder(out, overwrite=overwrite, reads=reads)
    reading = (reading or ReadingOptions()).over(vocabulary.config.data.reading)
    task = Redrawing.of(image, mask, frame_of(vocabulary.config), reading)
    with phases("inpainting") as progress:
        draws = vocabulary.inpaint(
            task.seen,
            task.seen_region,
            count=count,
            condition=condition,
            temperature=temperature,
            seed=seed,
            decoding=decoding,
            progress=progress,
        ).cpu()
    out = output_folder(out, overwrite=overwrite)
    values = task.values(draws[:, 0].numpy())
    write_versions(out, task.scan, region=task.region, values=values, origin=task.origin)
    remove_numbered(out, DRAW, start=len(draws), suffix=SUFFIXES[task.scan.voxels.ndim])
