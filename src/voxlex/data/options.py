"""What the phantom should be like; kept apart from the phantom so that reading settings imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from voxlex.errors import ConfigError

Contrast = Literal["t1", "t2", "pd"]


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

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

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
