"""The embedded data set: axial slices of pseudo-subjects made from the MNI152 template; no download, no patients.

Each subject is the template seen through a smooth random map and an imagined scanner. The template is looked up only at
the points of the slices asked for, where transforms of whole volumes would take seconds a subject.
"""

from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.data.anatomy import CENTRE_MM, Anatomy
from voxlex.data.prepare import Progress
from voxlex.data.prepared import COLUMNS, PreparedDataset, fingerprint_of, split_order
from voxlex.data.scanner import Contrast, Scanner
from voxlex.data.scans import Scan, write_scan
from voxlex.data.splits import split_or_test
from voxlex.data.template import load_template
from voxlex.errors import ConfigError

PHANTOM_VERSION = 1
"""Changes whenever the same options would give other images, so that nothing stale is taken from a cache."""

_FINEST_MM = 1.7  # the template is smooth: sampling it more finely than this shows nothing new
_WARP_STEP_MM = 3.3  # anatomies differ smoothly: between points this far apart, their displacement is interpolated


@dataclass(frozen=True)
class PhantomOptions:
    """What the phantom should be like.

    Attributes:
        subjects: Number of pseudo-subjects.
        slices: Number of axial slices of each, evenly spaced from `lowest_mm` to `highest_mm`.
        contrast: "t1" (white matter brightest), "t2" (fluid brightest) or "pd" (grey matter brightest).
        variety: Scales the differences between subjects and scans; 0 shows the template itself.
        noise: Scales the noise; 0 leaves it out.
        field_of_view_mm: Side of the square slice.
        lowest_mm: Height of the lowest slice above the anterior commissure.
        highest_mm: Height of the highest slice.
    """

    subjects: int = 160
    slices: int = 12
    contrast: Contrast = "t1"
    variety: float = 1.0
    noise: float = 1.0
    field_of_view_mm: float = 208.0
    lowest_mm: float = -32.0
    highest_mm: float = 60.0

    def __post_init__(self) -> None:
        if self.contrast not in ("t1", "t2", "pd"):
            raise ConfigError(f"phantom contrast must be t1, t2 or pd, found {self.contrast!r}")
        if self.subjects < 1 or self.slices < 1:
            raise ConfigError(
                f"a phantom needs at least 1 subject and 1 slice, found {self.subjects} and {self.slices}"
            )
        if min(self.variety, self.noise) < 0 or self.field_of_view_mm <= 0:
            raise ConfigError("phantom variety and noise must be at least 0, and field_of_view_mm above 0")


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
    options: PhantomOptions | None = None,
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
    options = options or PhantomOptions()
    total = options.subjects * options.slices
    images = np.empty((total, 1, size, size), np.uint8)
    for subject in range(options.subjects):
        slices = generate_subject(subject, size=size, seed=seed, options=options)
        images[subject * options.slices : (subject + 1) * options.slices] = _to_bytes(slices)
        if progress is not None:
            progress((subject + 1) * options.slices, total)
    manifest = _manifest(options, size=size)
    manifest["split"] = split_or_test(list(manifest["group"]), seed=seed)
    order = split_order(list(manifest["split"]))
    images, manifest = images[order], manifest.iloc[order].reset_index(drop=True)[list(COLUMNS)]
    facts = {"size": size, "seed": seed, "phantom": asdict(options)}
    fingerprint = fingerprint_of(images, manifest, facts)
    PreparedDataset(images=images, manifest=manifest, name="phantom", fingerprint=fingerprint, options=facts).write(
        folder
    )
    return PreparedDataset.open(folder)


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
        group=table["subject"], height=size, width=size, bit_depth=8, intensity_low=0.0, intensity_high=255.0
    )
