"""The embedded data set: pseudo-subjects made from the MNI152 template; no download, no patients.

Each subject is the template seen through a smooth random map and an imagined scanner, and is shown in one of two views:
as axial slices, or as a whole head in a cube. The template is looked up only at the points that are shown, for slices a
fraction of its millions of voxels; transforms of whole volumes do not serve here.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from voxlex.config.options import PhantomOptions
from voxlex.data.building import Filled, Spool, build
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.anatomy import CENTRE_MM, Anatomy
from voxlex.data.phantoms.scanner import Scanner
from voxlex.data.phantoms.template import Template, load_template
from voxlex.images.cube import cube_affine, write_cube
from voxlex.images.frame import Frame
from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.progress import Progress
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan, StoredGrid
from voxlex.workers import HERE, Workers

_FINEST_MM = 1.7  # the template is smooth: sampling a slice more finely than this shows nothing new
_WARP_STEP_MM = 3.3  # anatomies differ smoothly: between points this far apart, their displacement is interpolated
_BYTES = IntensityMap(low=0.0, high=255.0, bit_depth=8)


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
    anatomy, scanner, rng = _draw(subject, options, seed=seed)
    oversampling = ceil(options.field_of_view_mm / size / _FINEST_MM)
    shift_mm = float(rng.normal(0, 2.0 * options.variety))
    points_mm = _slice_points(options, pixels=size * oversampling, shift_mm=shift_mm)
    coarse_mm = _slice_points(options, pixels=ceil(options.field_of_view_mm / _WARP_STEP_MM), shift_mm=shift_mm)
    warp_mm = _refine(anatomy.to_template(coarse_mm) - coarse_mm, points_mm.shape[1:3])
    signal = scanner.signal(load_template().sample(points_mm + warp_mm), points_mm)
    pixels = torch.nn.functional.avg_pool2d(signal[:, None], oversampling)[:, 0]
    return scanner.detect(pixels, rng)[:, None]


def generate_volume(
    subject: int,
    *,
    size: int = 64,
    spacing_mm: float = 3.0,
    seed: int = 0,
    options: PhantomOptions | None = None,
) -> Float[Tensor, "1 size size size"]:
    """Make the head of one pseudo-subject, the same person that `generate_subject` shows slices of.

    Args:
        subject: Number of the subject, from 0. It and the seed decide everything.
        size: Side of the cube in voxels.
        spacing_mm: Distance between voxels.
        seed: Seed of the data set.
        options: What the phantom should be like; what it says of slices does not matter here.

    Returns:
        A volume in [0, 1], `(1, z, y, x)` from top to bottom, from front to back, from the subject's right to left.
    """
    anatomy, scanner, rng = _draw(subject, options or PhantomOptions(), seed=seed)
    points_mm = _cube_points(size, spacing_mm=spacing_mm)
    coarse = max(2, ceil(size * spacing_mm / _WARP_STEP_MM))
    if coarse < size:
        coarse_mm = _cube_points(coarse, spacing_mm=size * spacing_mm / coarse)
        warp_mm = _refine((anatomy.to_template(coarse_mm) - coarse_mm)[None], (size,) * 3)[0]
    else:
        warp_mm = anatomy.to_template(points_mm) - points_mm
    signal = scanner.signal(_smoothed_template(spacing_mm).sample(points_mm + warp_mm), points_mm)
    return scanner.detect(signal, rng)[None]


@dataclass(frozen=True)
class _View(ABC):
    """How pseudo-subjects are shown."""

    options: PhantomOptions
    frame: Frame

    @property
    @abstractmethod
    def state(self) -> list[object]:
        """What the images depend on but the seed; the number in it changes when the same options give other images."""

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """The way from an image to the file that `write` writes."""

    @abstractmethod
    def images(self, subject: int, *, seed: int) -> UInt8[np.ndarray, "n *space"]:
        """Return the images of a subject."""

    @abstractmethod
    def table(self, subject: int) -> pd.DataFrame:
        """Return `path` and `slice` of each of them."""

    @abstractmethod
    def write(self, path: Path, image: UInt8[np.ndarray, "*space"]) -> None:
        """Write one as a file."""


class _SliceView(_View):
    """Axial slices of each subject, `sub-001/slice-01.png` and so on."""

    @property
    def state(self) -> list[object]:
        return ["phantom", 1, asdict(self.options), self.frame.size]

    @property
    def origin(self) -> Origin:
        return Origin(view="picture", height=self.frame.size, width=self.frame.size, intensity=_BYTES)

    def images(self, subject: int, *, seed: int) -> UInt8[np.ndarray, "n h w"]:
        return _to_bytes(generate_subject(subject, size=self.frame.size, seed=seed, options=self.options)[:, 0])

    def table(self, subject: int) -> pd.DataFrame:
        levels = range(1, self.options.slices + 1)
        paths = [f"{_name(subject)}/slice-{level:02d}.png" for level in levels]
        return pd.DataFrame({"path": paths, "slice": pd.array(levels, dtype="Int64")})

    def write(self, path: Path, image: UInt8[np.ndarray, "h w"]) -> None:
        write_scan(path, Scan(voxels=image))


class _CubeView(_View):
    """The whole head of each subject in the template's space, `sub-001.nii.gz` and so on.

    In the files, 0 mm lies at the anterior commissure.
    """

    @property
    def state(self) -> list[object]:
        return ["phantom volumes", 1, asdict(self.options), self.frame.size, self._spacing_mm]

    @property
    def origin(self) -> Origin:
        size = self.frame.size
        affine = cube_affine(size, spacing_mm=self._spacing_mm)
        affine[:3, 3] += CENTRE_MM
        middle = (size - 1) / 2
        return Origin(
            view="cube",
            height=size,
            width=size,
            intensity=_BYTES,
            stored=StoredGrid(shape=(size,) * 3, affine=affine, dtype=np.dtype(np.uint8)),
            centre=(middle, middle, middle),
            spacing_mm=self._spacing_mm,
        )

    def images(self, subject: int, *, seed: int) -> UInt8[np.ndarray, "1 d h w"]:
        size, spacing_mm = self.frame.size, self._spacing_mm
        return _to_bytes(generate_volume(subject, size=size, spacing_mm=spacing_mm, seed=seed, options=self.options))

    def table(self, subject: int) -> pd.DataFrame:
        return pd.DataFrame({"path": [f"{_name(subject)}.nii.gz"], "slice": pd.array([None], dtype="Int64")})

    def write(self, path: Path, image: UInt8[np.ndarray, "d h w"]) -> None:
        write_cube(path, image, spacing_mm=self._spacing_mm, centre_mm=CENTRE_MM)

    @property
    def _spacing_mm(self) -> float:
        return self.frame.spacing_mm or 1.0


@dataclass(frozen=True)
class PhantomSource:
    """The embedded data set as a source; a frame with a spacing shows whole heads, and one without shows slices.

    Attributes:
        options: What the phantom should be like.
    """

    options: PhantomOptions = field(default_factory=PhantomOptions)
    name = "phantom"
    index = None

    def ready(self, frame: Frame | None) -> PreparedDataset | None:
        """Return None: the phantom must be made."""
        return None

    def state(self, frame: Frame) -> list[object]:
        """Return what the images depend on but the seed."""
        return self._view(frame).state

    def prepare(
        self,
        folder: str | Path,
        frame: Frame,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        workers: Workers = HERE,
    ) -> PreparedDataset:
        """Make the phantom in its ready-to-train form, divided 80/10/10 by subject.

        Args:
            folder: Where the prepared form is written; it must not exist.
            frame: Size of the images, and, for whole heads, the distance between their voxels.
            seed: Seed of the subjects and of their division into splits.
            progress: Called after each subject with the number of images done and in all.
            workers: Who makes the subjects.

        Raises:
            DataError: If the folder exists or cannot be written.
        """
        view = self._view(frame)

        def fill(spool: Spool) -> Filled:
            done = 0
            for images in workers.map(partial(view.images, seed=seed), range(self.options.subjects)):
                for image in images:
                    spool.append(image)
                done += len(images)
                if progress is not None:
                    progress(done, len(images) * self.options.subjects)
            return Filled(self._manifest(view), [], [])

        options = {"phantom": asdict(self.options), **frame.options(volumes=False)}
        # Pseudo-subjects are told apart by construction; with a variety of 0 they all look the same.
        return build(folder, frame, fill=fill, seed=seed, name=self.name, options=options, compare=False)

    def write(self, folder: str | Path, frame: Frame, *, seed: int = 0, progress: Progress | None = None) -> list[Path]:
        """Write the phantom as files, slices as PNG or whole heads as NIfTI, and return their paths.

        Raises:
            DataError: If a file cannot be written.
        """
        view = self._view(frame)
        written = []
        for subject in range(self.options.subjects):
            for path, image in zip(view.table(subject)["path"], view.images(subject, seed=seed), strict=True):
                view.write(Path(folder) / path, image)
                written.append(Path(folder) / path)
            if progress is not None:
                progress(subject + 1, self.options.subjects)
        return written

    def _view(self, frame: Frame) -> _View:
        return _SliceView(self.options, frame) if frame.spatial_dims == 2 else _CubeView(self.options, frame)

    def _manifest(self, view: _View) -> pd.DataFrame:
        of_subjects = [view.table(subject).assign(subject=_name(subject)) for subject in range(self.options.subjects)]
        table = pd.concat(of_subjects, ignore_index=True)
        table = table.assign(label="", session="", sequence="", group=table["subject"])
        return pd.concat([table, pd.DataFrame([view.origin.facts()] * len(table))], axis=1)


def _draw(subject: int, options: PhantomOptions, *, seed: int) -> tuple[Anatomy, Scanner, np.random.Generator]:
    rng = np.random.default_rng([seed, subject])
    anatomy = Anatomy.draw(rng, variety=options.variety)
    scanner = Scanner.draw(rng, contrast=options.contrast, variety=options.variety, noise=options.noise)
    return anatomy, scanner, rng


def _slice_points(options: PhantomOptions, *, pixels: int, shift_mm: float) -> Float[Tensor, "n h w 3"]:
    """Return the centres of the pixels of all slices in mm."""
    across = ((torch.arange(pixels) + 0.5) / pixels - 0.5) * options.field_of_view_mm
    middle = torch.tensor(CENTRE_MM)
    heights = torch.linspace(options.lowest_mm, options.highest_mm, options.slices) + shift_mm
    z, y, x = torch.meshgrid(heights, middle[1] - across, middle[0] - across, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def _cube_points(size: int, *, spacing_mm: float) -> Float[Tensor, "z y x 3"]:
    """Return the centres of the voxels of a cube around the middle of the brain, in mm."""
    across = ((size - 1) / 2 - torch.arange(size)) * spacing_mm
    right, front, up = CENTRE_MM
    z, y, x = torch.meshgrid(up + across, front + across, right + across, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def _refine(field_mm: Float[Tensor, "n *coarse 3"], space: tuple[int, ...]) -> Float[Tensor, "n *fine 3"]:
    """Interpolate fields on the pixels or voxels of an image to finer ones over the same image."""
    mode = "bilinear" if len(space) == 2 else "trilinear"
    planes = field_mm.movedim(-1, 1).contiguous()
    fine = torch.nn.functional.interpolate(planes, size=tuple(space), mode=mode, align_corners=False)
    return fine.movedim(1, -1)


@lru_cache(maxsize=1)
def _smoothed_template(spacing_mm: float) -> Template:
    return load_template().smoothed(spacing_mm)


def _to_bytes(images: Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).numpy()


def _name(subject: int) -> str:
    return f"sub-{subject + 1:03d}"
