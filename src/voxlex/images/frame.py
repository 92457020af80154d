"""The frame of a data set: the size of its images, and how they are made from scans."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from voxlex.config import DataConfig, SliceOptions
from voxlex.errors import ConfigError
from voxlex.scans.formats.pictures import MIN_SIDE


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Describes how scans become images.

    Without a spacing, images are two-dimensional: a picture becomes one image, and a volume becomes some of its slices.
    With a spacing, each volume becomes one cube, and pictures cannot be used.

    Attributes:
        size: Side of the square canvas in pixels, or of the cube in voxels, at least 8.
        slices: The slices to take from a volume. They do not matter for cubes.
        spacing_mm: Distance between the voxels of a cube; None for two-dimensional images.
        whole: Whether to take all of a volume, so that it can be restored: every slice, even if it is empty or not
            chosen by `slices`, or a cube around the middle of the volume rather than of the head.

    Raises:
        ValueError: If the size is too small.
        ConfigError: If the spacing is not a positive finite length.
    """

    size: int = DataConfig.size
    slices: SliceOptions = field(default_factory=SliceOptions)
    spacing_mm: float | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if self.size < MIN_SIDE:
            raise ValueError(f"size: expected at least {MIN_SIDE} pixels, got {self.size}")
        if self.spacing_mm is not None and not 0 < self.spacing_mm < math.inf:
            raise ConfigError(f"spacing_mm: expected more than 0 mm, got {self.spacing_mm}")

    @classmethod
    def of(cls, data: DataConfig, *, whole: bool = False) -> "Frame":
        """Return the frame of an experiment with these settings."""
        return cls(size=data.size, slices=data.slices, spacing_mm=data.spacing_mm, whole=whole)

    @property
    def spatial_dims(self) -> int:
        """2 for pictures and slices, 3 for cubes."""
        return 2 if self.spacing_mm is None else 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return (self.size,) * self.spatial_dims

    def options(self, *, volumes: bool) -> dict[str, Any]:
        """Return the options that images depend on, apart from their size.

        Args:
            volumes: Whether any of the scans is a volume. Pictures do not depend on the options for slices.
        """
        if self.spatial_dims == 3:
            return {"spacing_mm": self.spacing_mm, **({"whole": True} if self.whole else {})}
        if not volumes:
            return {}
        return {"slices": {"axis": self.slices.axis} if self.whole else asdict(self.slices), "whole": self.whole}
