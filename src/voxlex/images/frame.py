"""What all images of a data set have in common: their size, and how scans are turned into them."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from voxlex.config.options import SliceOptions
from voxlex.errors import ConfigError
from voxlex.scans.formats.pictures import MIN_SIDE
from voxlex.scans.suffixes import is_volume
from voxlex.tables.manifest import Index


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How scans become images.

    Attributes:
        size: Side of the canvas in pixels, or of the cube in voxels.
        spatial_dims: 2 for images: pictures as they are, volumes slice by slice. 3 for volumes as cubes.
        slices: Which slices of a volume are taken.
        spacing_mm: Distance between the voxels of a cube.
        whole: Take all of a volume, so that it can be put together again: every slice, whatever `slices` says and
            however empty; and for a cube, the middle of the volume and not of the head.
    """

    size: int = 128
    spatial_dims: int = 2
    slices: SliceOptions = field(default_factory=SliceOptions)
    spacing_mm: float | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if self.size < MIN_SIDE:
            raise ValueError(f"size must be at least {MIN_SIDE} pixels, found {self.size}")
        if self.spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, found {self.spatial_dims}")
        if self.spatial_dims == 3 and not 0 < (self.spacing_mm or 0) < math.inf:
            raise ConfigError(f"spacing_mm must be above 0 mm for volumes in 3D, found {self.spacing_mm}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return (self.size,) * self.spatial_dims

    def of_scans(self, index: Index) -> dict[str, Any]:
        """Return what the images of some scans depend on beside their size; slices matter only to volumes."""
        if self.spatial_dims == 3:
            return {"spacing_mm": self.spacing_mm, **({"whole": True} if self.whole else {})}
        if not any(is_volume(index.root / path) for path in index.table["path"]):
            return {}
        return {"slices": {"axis": self.slices.axis} if self.whole else asdict(self.slices), "whole": self.whole}
