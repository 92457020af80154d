"""The embedded data set in three dimensions: whole heads of the pseudo-subjects that `phantom` shows slices of."""

from dataclasses import asdict
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.config.options import PhantomOptions
from voxlex.data.building import Skipped, assemble
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.anatomy import CENTRE_MM, Anatomy
from voxlex.data.phantoms.scanner import Scanner
from voxlex.data.phantoms.template import Template, load_template
from voxlex.data.spool import Spool
from voxlex.images.cube import cube_affine, write_cube
from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.progress import Progress
from voxlex.scans.scan import StoredGrid

VOLUMES_VERSION = 1
"""Changes whenever the same options would give other volumes, so that nothing stale is taken from a cache."""

_WARP_STEP_MM = 3.3  # anatomies differ smoothly: between points this far apart, their displacement is interpolated


def generate_volume(
    subject: int,
    *,
    size: int = 64,
    spacing_mm: float = 3.0,
    seed: int = 0,
    options: PhantomOptions | None = None,
) -> Float[Tensor, "1 size size size"]:
    """Make the head of one pseudo-subject, the same person that `phantom.generate_subject` shows slices of.

    Args:
        subject: Number of the subject, from 0. It and the seed decide everything.
        size: Side of the cube in voxels.
        spacing_mm: Distance between voxels.
        seed: Seed of the data set.
        options: What the phantom should be like; what it says of slices does not matter here.

    Returns:
        A volume in [0, 1], `(1, z, y, x)` from top to bottom, from front to back, from the subject's right to left.
    """
    options = options or PhantomOptions()
    rng = np.random.default_rng([seed, subject])
    anatomy = Anatomy.draw(rng, variety=options.variety)
    scanner = Scanner.draw(rng, contrast=options.contrast, variety=options.variety, noise=options.noise)
    points_mm = _cube_points(size, spacing_mm=spacing_mm)
    coarse = max(2, ceil(size * spacing_mm / _WARP_STEP_MM))
    if coarse < size:
        coarse_mm = _cube_points(coarse, spacing_mm=size * spacing_mm / coarse)
        warp_mm = _refine(anatomy.to_template(coarse_mm) - coarse_mm, size=size)
    else:
        warp_mm = anatomy.to_template(points_mm) - points_mm
    signal = scanner.signal(_template(spacing_mm).sample(points_mm + warp_mm), points_mm)
    return scanner.detect(signal, rng)[None]


def prepare_phantom_volumes(
    options: PhantomOptions,
    *,
    folder: str | Path,
    size: int = 64,
    spacing_mm: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Make a phantom of whole heads in its ready-to-train form, divided 80/10/10 by subject.

    Args:
        options: What the phantom should be like.
        folder: Where the prepared form is written; must not exist.
        size: Side of the cubes in voxels.
        spacing_mm: Distance between voxels.
        seed: Seed of the subjects and of their division into splits.
        progress: Called after each subject with the number of volumes done and in all.

    Raises:
        DataError: `folder` exists or cannot be written.
    """

    def fill(spool: Spool) -> tuple[pd.DataFrame, Skipped]:
        for subject in range(options.subjects):
            volume = generate_volume(subject, size=size, spacing_mm=spacing_mm, seed=seed, options=options)
            spool.append(_to_bytes(volume[0]))
            if progress is not None:
                progress(subject + 1, options.subjects)
        manifest = _manifest(options)
        facts = pd.DataFrame([_origin(size, spacing_mm=spacing_mm).facts()] * len(manifest))
        return pd.concat([manifest, facts], axis=1), []

    return assemble(
        folder,
        fill=fill,
        size=size,
        seed=seed,
        name="phantom",
        options={"phantom": asdict(options), "spacing_mm": spacing_mm},
        spatial_dims=3,
    )


def write_phantom_volumes(
    folder: str | Path,
    *,
    options: PhantomOptions | None = None,
    size: int = 64,
    spacing_mm: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a phantom of whole heads as NIfTI files, `sub-001.nii.gz` and so on, and return their paths.

    The files are in the template's space: 0 mm lies at the anterior commissure.

    Raises:
        DataError: A file cannot be written.
    """
    options = options or PhantomOptions()
    paths = [Path(folder) / path for path in _manifest(options)["path"]]
    for subject, path in enumerate(paths):
        volume = generate_volume(subject, size=size, spacing_mm=spacing_mm, seed=seed, options=options)
        write_cube(path, _to_bytes(volume[0]), spacing_mm=spacing_mm, centre_mm=CENTRE_MM)
        if progress is not None:
            progress(subject + 1, len(paths))
    return paths


@lru_cache(maxsize=1)
def _template(spacing_mm: float) -> Template:
    return load_template().smoothed(spacing_mm)


def _cube_points(size: int, *, spacing_mm: float) -> Float[Tensor, "z y x 3"]:
    """Centres of the voxels of a cube around the middle of the brain, in mm."""
    across = ((size - 1) / 2 - torch.arange(size)) * spacing_mm
    right, front, up = CENTRE_MM
    z, y, x = torch.meshgrid(up + across, front + across, right + across, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def _refine(field: Float[Tensor, "z y x 3"], *, size: int) -> Float[Tensor, "{size} {size} {size} 3"]:
    """Interpolate a field on the voxels of a cube to `size³` voxels over the same cube."""
    planes = field.movedim(-1, 0)[None]
    fine = torch.nn.functional.interpolate(planes, size=(size,) * 3, mode="trilinear", align_corners=False)
    return fine[0].movedim(0, -1)


def _to_bytes(volume: Tensor) -> np.ndarray:
    return (volume * 255).round().to(torch.uint8).numpy()


def _manifest(options: PhantomOptions) -> pd.DataFrame:
    subjects = [f"sub-{subject + 1:03d}" for subject in range(options.subjects)]
    numbers = pd.array([None] * len(subjects), dtype="Int64")
    table = pd.DataFrame(
        {"path": [f"{subject}.nii.gz" for subject in subjects], "subject": subjects, "slice": numbers, "label": ""}
    )
    return table.assign(session="", sequence="", group=table["subject"])


def _origin(size: int, *, spacing_mm: float) -> Origin:
    """The file that `write_phantom_volumes` writes."""
    affine = cube_affine(size, spacing_mm=spacing_mm)
    affine[:3, 3] += CENTRE_MM
    middle = (size - 1) / 2
    return Origin(
        view="cube",
        height=size,
        width=size,
        intensity=IntensityMap(low=0.0, high=255.0, bit_depth=8),
        stored=StoredGrid(shape=(size,) * 3, affine=affine, dtype=np.dtype(np.uint8)),
        centre=(middle, middle, middle),
        spacing_mm=spacing_mm,
    )
