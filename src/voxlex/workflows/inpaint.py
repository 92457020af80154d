"""Redraw a region of a scan in several versions."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.config import Decoding, ReadingOptions
from voxlex.errors import DataError, naming
from voxlex.images.fit import fit_voxels
from voxlex.images.frame import Frame
from voxlex.images.region import read_region, region_in_image
from voxlex.images.restore import restore_grid
from voxlex.outputs import SUFFIXES, check_folder
from voxlex.progress import Phases, silent
from voxlex.scans.read_write import read_scan
from voxlex.scans.scan import Scan
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.opening import frame_of
from voxlex.workflows.results import output_folder, remove_numbered
from voxlex.workflows.versions import DRAW, write_versions


def inpaint(
    vocabulary: Vocabulary,
    image: Path,
    *,
    mask: Path,
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
        image: The scan: a file, or the folder of a DICOM series.
        mask: A file of any format with the same grid. It is 0 outside the region to redraw.
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
        DataError: If a file cannot be read, the scan is a picture and the vocabulary takes volumes or vice versa, the
            mask does not fit the scan, or the folder cannot be used.
        ValueError: If an argument is out of range, or a condition is unknown.
    """
    vocabulary.check_decoding(decoding or "faithful")
    check_folder(out, overwrite=overwrite, reads=[image, mask])
    reading = (reading or ReadingOptions()).over(vocabulary.config.data.reading)
    scan = read_scan(image, **asdict(reading))
    frame = frame_of(vocabulary.config)
    with naming(image):
        _check_kind(scan, frame)
        (seen,), origin, *_ = fit_voxels(scan, frame)
    region = read_region(mask, scan, replace(reading, volume=None, series=None, plane=None))
    with naming(mask):
        seen_region = region_in_image(region, origin, size=frame.size)
    with phases("inpainting") as progress:
        draws = vocabulary.inpaint(
            seen,
            seen_region,
            count=count,
            condition=condition,
            temperature=temperature,
            seed=seed,
            decoding=decoding,
            progress=progress,
        ).cpu()
    drawn = [restore_grid([draw[0].numpy()], origin)[region] for draw in draws]
    out = output_folder(out, overwrite=overwrite)
    write_versions(out, scan, region=region, values=origin.intensity.from_unit(np.stack(drawn)), origin=origin)
    remove_numbered(out, DRAW, start=len(drawn), suffix=SUFFIXES[scan.voxels.ndim])


def _check_kind(scan: Scan, frame: Frame) -> None:
    if scan.voxels.ndim != frame.spatial_dims:
        kinds = {2: "picture", 3: "volume"}
        run = "images" if frame.spatial_dims == 2 else "volumes"
        raise DataError(f"expected a {kinds[frame.spatial_dims]} for a run of {run}, got a {kinds[scan.voxels.ndim]}")
