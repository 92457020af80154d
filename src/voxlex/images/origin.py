"""The origin of images: all facts about a scan that are needed to restore it from its images."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from voxlex.config.options import Axis
from voxlex.errors import DataError
from voxlex.images.intensity import IntensityMap
from voxlex.images.stack import Stack
from voxlex.scans.grid import Grid, StoredGrid
from voxlex.scans.scan import Scan

View = Literal["picture", "cube"] | Axis
"""What an image shows: a picture file, a slice of a volume across one of its axes, or a whole volume."""

ORIGIN_DEFAULTS: dict[str, Any] = {
    "view": "picture",
    "stored_shape": None,
    "stored_affine": None,
    "stored_dtype": "",
    "stored_slope": 1.0,
    "stored_intercept": 0.0,
    "stored_space": 0,
    "centre": None,
    "spacing_mm": np.nan,
}
"""The columns that describe volumes, with their values for pictures."""

ORIGIN_COLUMNS = ("height", "width", "bit_depth", "intensity_low", "intensity_high", *ORIGIN_DEFAULTS)


ORIGIN_EXTRAS: dict[str, Any] = {"unknown": "", "nan_voxels": 0, "nan_mask": None}
"""Columns that a manifest has only if they say something, with what they say otherwise.

They hold what the file does not say (`Scan.unknown`), how many voxels were not finite numbers, and, in the first row of
each scan, which: a packed mask in canonical order.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Origin:
    """All facts that restore a scan from its images. They do not identify a person.

    Attributes:
        view: The kind of image.
        height: Height of the picture, or of each slice, in the scan's own pixels.
        width: Width in the scan's own pixels.
        intensity: The map from the grey values of the scan to [0, 1].
        stored: The grid of the volume in its file; None for pictures.
        centre: For a cube, the voxel `(x, y, z)` of the volume in its middle.
        spacing_mm: For a cube, the distance between its voxels.
        missing: Where the scan has no finite number; see `Scan.missing`.
        unknown: What the file does not say; see `Scan.unknown`.
    """

    view: View
    height: int
    width: int
    intensity: IntensityMap
    stored: StoredGrid | None = None
    centre: tuple[float, float, float] | None = None
    spacing_mm: float | None = None
    missing: np.ndarray | None = None
    unknown: tuple[str, ...] = ()

    @classmethod
    def of_slices(cls, scan: Scan, axis: Axis) -> "Origin":
        """Return the origin of the slices of a volume across an axis."""
        stored = _grid_of(scan)
        stack = Stack(axis=axis, shape=stored.canonical.shape, spacing_mm=stored.canonical.spacing_mm)
        height, width = stack.slice_shape
        return cls(
            view=axis,
            height=height,
            width=width,
            intensity=IntensityMap.of(scan),
            stored=stored,
            missing=scan.missing,
            unknown=scan.unknown,
        )

    @classmethod
    def of_cube(cls, scan: Scan, *, centre: tuple[float, float, float] | None, spacing_mm: float) -> "Origin":
        """Return the origin of a cube of a volume. Without a centre, the cube lies around the middle of the volume."""
        stored = _grid_of(scan)
        x, y, z = stored.canonical.shape
        return cls(
            view="cube",
            height=y,
            width=x,
            intensity=IntensityMap.of(scan),
            stored=stored,
            centre=((x - 1) / 2, (y - 1) / 2, (z - 1) / 2) if centre is None else centre,
            spacing_mm=spacing_mm,
            missing=scan.missing,
            unknown=scan.unknown,
        )

    @property
    def is_sliced(self) -> bool:
        """Whether the images are slices of a volume."""
        return self.view != "picture" and self.view != "cube"

    @property
    def grid(self) -> Grid:
        """The grid of the volume in canonical order.

        Raises:
            ValueError: If this is a picture.
        """
        if self.stored is None:
            raise ValueError(f"origin: expected a volume, got a {self.view}")
        return self.stored.canonical

    @cached_property
    def stack(self) -> Stack:
        """The arrangement of the slices in the volume.

        Raises:
            ValueError: If the images are not slices.
        """
        if self.view == "picture" or self.view == "cube":
            raise ValueError(f"origin: expected slices of a volume, got a {self.view}")
        shape, _, spacing_mm = self.grid
        return Stack(axis=self.view, shape=shape, spacing_mm=spacing_mm)

    @property
    def placed_cube(self) -> tuple[float, tuple[float, float, float]]:
        """The spacing and the centre of the cube.

        Raises:
            ValueError: If the image is not a cube.
        """
        if self.spacing_mm is None or self.centre is None:
            raise ValueError(f"origin: expected a cube with its spacing and centre, got a {self.view}")
        return self.spacing_mm, self.centre

    def place(self, values: np.ndarray) -> Scan:
        """Return a scan with the voxels of an array on this scan's grid, such as one from `restore_grid`.

        Its file has the same order of axes and the same affine as this scan, and contains the numbers of the array.
        """
        if self.stored is None:
            return Scan(voxels=values)
        stored = replace(self.stored, dtype=values.dtype, slope=1.0, intercept=0.0)
        return Scan(voxels=values, spacing_mm=self.grid.spacing_mm, affine=self.grid.affine, stored=stored)

    def facts(self) -> dict[str, Any]:
        """Return the columns `ORIGIN_COLUMNS` of a manifest, and those of `ORIGIN_EXTRAS` that say something."""
        facts = {
            **ORIGIN_DEFAULTS,
            "view": self.view,
            "height": self.height,
            "width": self.width,
            "bit_depth": self.intensity.bit_depth,
            "intensity_low": self.intensity.low,
            "intensity_high": self.intensity.high,
        }
        if self.stored is not None:
            facts |= {
                "stored_shape": list(self.stored.shape),
                "stored_affine": self.stored.affine.ravel().tolist(),
                "stored_dtype": self.stored.dtype.name,
                "stored_slope": self.stored.slope,
                "stored_intercept": self.stored.intercept,
                "stored_space": self.stored.space,
            }
        if self.centre is not None:
            facts |= {"centre": list(self.centre), "spacing_mm": self.spacing_mm}
        if self.unknown:
            facts["unknown"] = ", ".join(self.unknown)
        if self.missing is not None:
            mask = zlib.compress(np.packbits(self.missing).tobytes(), 1)
            facts |= {"nan_voxels": int(np.count_nonzero(self.missing)), "nan_mask": mask}
        return facts

    @classmethod
    def from_facts(cls, row: Mapping[str, Any]) -> "Origin":
        """Read the origin from a row of a manifest or of a file of codes; the inverse of `facts`."""
        cube = row["view"] == "cube"
        stored = None if row["view"] == "picture" else _stored_grid(row)
        height, width = int(row["height"]), int(row["width"])
        mask, unknown = row.get("nan_mask"), row.get("unknown")
        return cls(
            view=row["view"],
            height=height,
            width=width,
            intensity=IntensityMap(
                low=float(row["intensity_low"]), high=float(row["intensity_high"]), bit_depth=int(row["bit_depth"])
            ),
            stored=stored,
            centre=_triple(row["centre"]) if cube else None,
            spacing_mm=float(row["spacing_mm"]) if cube else None,
            missing=_mask(mask, (height, width) if stored is None else stored.canonical.shape)
            if isinstance(mask, bytes)
            else None,
            unknown=tuple(unknown.split(", ")) if isinstance(unknown, str) and unknown else (),
        )


def _grid_of(scan: Scan) -> StoredGrid:
    if scan.stored is not None:
        return scan.stored
    affine = np.diag([*(scan.spacing_mm or (1.0, 1.0, 1.0)), 1.0]) if scan.affine is None else scan.affine
    return StoredGrid(shape=scan.voxels.shape, affine=affine, dtype=scan.voxels.dtype)


def _stored_grid(row: Mapping[str, Any]) -> StoredGrid:
    return StoredGrid(
        shape=tuple(int(length) for length in row["stored_shape"]),
        affine=np.array(row["stored_affine"], np.float64).reshape(4, 4),
        dtype=np.dtype(row["stored_dtype"]),
        slope=float(row["stored_slope"]),
        intercept=float(row["stored_intercept"]),
        space=int(row["stored_space"]),
    )


def _mask(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Unpack a mask; one of another size, which only a damaged table holds, is an error."""
    count = math.prod(shape)
    unpacker = zlib.decompressobj()
    try:
        bits = unpacker.decompress(packed, (count + 7) // 8 + 1)
    except zlib.error as cause:
        raise DataError("nan_mask: expected a packed mask, got something else") from cause
    if len(bits) != (count + 7) // 8:
        raise DataError(f"nan_mask: expected a mask of {count} voxels, got one of another size")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool).reshape(shape)


def _triple(values: np.ndarray | list[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
