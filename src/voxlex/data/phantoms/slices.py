"""The embedded data set: axial slices of pseudo-subjects made from the MNI152 template; no download, no patients.

Each subject is the template seen through a smooth random map and an imagined scanner. The template is looked up only at
the points of the slices asked for, a fraction of its millions of voxels; transforms of whole volumes do not serve here.
"""

from dataclasses import asdict
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
from voxlex.data.phantoms.template import load_template
from voxlex.data.spool import Spool
from voxlex.progress import Progress
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

PHANTOM_VERSION = 1
"""Changes whenever the same options would give other images, so that nothing stale is taken from a cache."""

_FINEST_MM = 1.7  # the template is smooth: sampling it more finely than this shows nothing new
_WARP_STEP_MM = 3.3  # anatomies differ smoothly: between points this far apart, their displacement is interpolated


def generate_subject(
    subject: int, *, size: int = 128, seed: int = 0, options: PhantomOptions | None = None
) -> Float[Tensor, "n 1 h w"]:
    """Make the slices of one pseudo-subject, from the lowest to the highest.

    Args:
        subject: Number of the subject, from 0. It and the seed decide everything: the same subject comes out of any
            data set.
        size: Side of the slices in pixels.
        seed: Seed of the data set.
        options: What the phantom should be like; `options.subjects` does not matter here.

    Returns:
        Slices in [0, 1], `(slices, 1, size, size)`, in radiological orientation: front up, the subject's right on the
        left.
    """
    options = options or PhantomOptions()
    rng = np.random.default_rng([seed, subject])
    anatomy = Anatomy.draw(rng, variety=options.variety)
    scanner = Scanner.draw(rng, contrast=options.contrast, variety=options.variety, noise=options.noise)
    oversampling = ceil(options.field_of_view_mm / size / _FINEST_MM)
    shift_mm = float(rng.normal(0, 2.0 * options.variety))
    points_mm = _slice_points(options, pixels=size * oversampling, shift_mm=shift_mm)
    coarse_mm = _slice_points(options, pixels=ceil(options.field_of_view_mm / _WARP_STEP_MM), shift_mm=shift_mm)
    warp_mm = _refine(anatomy.to_template(coarse_mm) - coarse_mm, pixels=size * oversampling)
    signal = scanner.signal(load_template().sample(points_mm + warp_mm), points_mm)
    pixels = torch.nn.functional.avg_pool2d(signal[:, None], oversampling)[:, 0]
    return scanner.detect(pixels, rng)[:, None]


def prepare_phantom(
    options: PhantomOptions,
    *,
    folder: str | Path,
    size: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Make a phantom in its ready-to-train form, divided 80/10/10 by subject.

    Args:
        options: What the phantom should be like.
        folder: Where the prepared form is written; must not exist.
        size: Side of the slices in pixels.
        seed: Seed of the subjects and of their division into splits.
        progress: Called after each subject with the number of slices done and in all.

    Raises:
        DataError: `folder` exists or cannot be written.
    """
    total = options.subjects * options.slices

    def fill(spool: Spool) -> tuple[pd.DataFrame, Skipped]:
        for subject in range(options.subjects):
            for pixels in _to_bytes(generate_subject(subject, size=size, seed=seed, options=options)):
                spool.append(pixels[0])
            if progress is not None:
                progress((subject + 1) * options.slices, total)
        return _manifest(options, size=size), []

    # Pseudo-subjects are told apart by construction; with a variety of 0 they all look the same.
    described = {"phantom": asdict(options)}
    return assemble(folder, fill=fill, size=size, seed=seed, name="phantom", options=described, compare=False)


def write_phantom(
    folder: str | Path, *, options: PhantomOptions | None = None, size: int = 128, seed: int = 0
) -> list[Path]:
    """Write a phantom as PNG files, `sub-001/slice-01.png` and so on, and return their paths.

    Raises:
        DataError: A file cannot be written.
    """
    options = options or PhantomOptions()
    paths = [Path(folder) / path for path in _manifest(options, size=size)["path"]]
    for subject in range(options.subjects):
        slices = _to_bytes(generate_subject(subject, size=size, seed=seed, options=options))
        for level, pixels in enumerate(slices[:, 0]):
            write_scan(paths[subject * options.slices + level], Scan(voxels=pixels))
    return paths


def _slice_points(options: PhantomOptions, *, pixels: int, shift_mm: float) -> Float[Tensor, "n h w 3"]:
    """Centres of the pixels of all slices in mm."""
    across = ((torch.arange(pixels) + 0.5) / pixels - 0.5) * options.field_of_view_mm
    middle = torch.tensor(CENTRE_MM)
    heights = torch.linspace(options.lowest_mm, options.highest_mm, options.slices) + shift_mm
    z, y, x = torch.meshgrid(heights, middle[1] - across, middle[0] - across, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def _refine(field: Float[Tensor, "n h w 3"], *, pixels: int) -> Float[Tensor, "n {pixels} {pixels} 3"]:
    """Interpolate a field on the pixels of a slice to a grid of `pixels × pixels` over the same slice."""
    planes = field.movedim(-1, 1).contiguous()
    fine = torch.nn.functional.interpolate(planes, size=(pixels, pixels), mode="bilinear", align_corners=False)
    return fine.movedim(1, -1)


def _to_bytes(images: Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).numpy()


def _manifest(options: PhantomOptions, *, size: int) -> pd.DataFrame:
    subjects = [f"sub-{subject + 1:03d}" for subject in range(options.subjects) for _ in range(options.slices)]
    levels = [level + 1 for _ in range(options.subjects) for level in range(options.slices)]
    paths = [f"{subject}/slice-{level:02d}.png" for subject, level in zip(subjects, levels, strict=True)]
    table = pd.DataFrame({"path": paths, "subject": subjects, "slice": pd.array(levels, dtype="Int64"), "label": ""})
    return table.assign(
        session="",
        sequence="",
        group=table["subject"],
        height=size,
        width=size,
        bit_depth=8,
        intensity_low=0.0,
        intensity_high=255.0,
    )
