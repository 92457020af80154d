"""What the phantom should be like, and which slices of a volume to take.

Kept apart from what they steer, so that reading settings imports nothing heavy.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from voxlex.errors import ConfigError

Contrast = Literal["t1", "t2", "pd"]
Axis = Literal["axial", "coronal", "sagittal"]


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

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

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


@dataclass(frozen=True)
class SliceOptions:
    """Which slices of a volume images are made of; every slice of the range, unless `count` or `every_mm` say fewer.

    Attributes:
        axis: "axial" (slices from below to above), "coronal" (from back to front) or "sagittal" (from left to right).
        lowest: Where the range begins, as a share of the head's extent along the axis.
        highest: Where it ends.
        count: Take so many slices, evenly spaced over the range.
        every_mm: Take a slice every so many mm.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    axis: Axis = "axial"
    lowest: float = 0.2
    highest: float = 0.8
    count: int | None = None
    every_mm: float | None = None

    def __post_init__(self) -> None:
        if self.axis not in ("axial", "coronal", "sagittal"):
            raise ConfigError(f"slices.axis must be axial, coronal or sagittal, found {self.axis!r}")
        if not 0 <= self.lowest <= self.highest <= 1:
            raise ConfigError(
                f"slices.lowest and .highest must be shares, 0 ≤ lowest ≤ highest ≤ 1, found {self.lowest:g} and "
                f"{self.highest:g}"
            )
        if self.count is not None and self.every_mm is not None:
            raise ConfigError("slices.count and slices.every_mm: give one of them, not both")
        if self.count is not None and self.count < 1:
            raise ConfigError(f"slices.count must be at least 1, found {self.count}")
        if self.every_mm is not None and not self.every_mm > 0:
            raise ConfigError(f"slices.every_mm must be above 0, found {self.every_mm:g}")
