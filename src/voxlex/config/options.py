"""What the phantom should be like, how scan files are read, and which slices of a volume to take.

These settings are also used without a configuration, by commands and from Python. They validate themselves when they
are made.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

import tyro

from voxlex.config.settings import Count, NotNegative, Part, Positive, Settings, unfit
from voxlex.config.validation import validated

Contrast = Literal["t1", "t2", "pd"]
Axis = Literal["axial", "coronal", "sagittal"]
Nan = Literal["auto", "error", "background"]
Spacing = tuple[Positive, Positive, Positive]


Decoding = Literal["faithful", "textured"]
"""How codes become images.

- `"faithful"`: the decoder that comes closest to the original image. It leaves out detail that codes do not contain.
- `"textured"`: a decoder that also draws such detail, so that images look like real ones. It is likely, but not true.
"""


@dataclass(frozen=True)
class PhantomOptions(Settings):
    """The embedded data set, used only for the source "phantom".

    Attributes:
        subjects: Number of pseudo-subjects.
        slices: Number of axial slices of each subject, evenly spaced from lowest_mm to highest_mm.
        contrast: Contrast of the images: "t1" (white matter brightest), "t2" (fluid brightest) or "pd" (grey matter
            brightest).
        variety: Factor on the differences between subjects and scans; 0 shows the template itself.
        noise: Factor on the noise; 0 leaves it out.
        field_of_view_mm: Side of the square slices in mm.
        lowest_mm: Height of the lowest slice above the anterior commissure in mm.
        highest_mm: Height of the highest slice above the anterior commissure in mm.
    """

    subjects: Count = 160
    slices: Count = 12
    contrast: Contrast = "t1"
    variety: NotNegative = 1.0
    noise: NotNegative = 1.0
    field_of_view_mm: Positive = 208.0
    lowest_mm: float = -32.0
    highest_mm: float = 60.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _validate(self, "phantom")


@dataclass(frozen=True)
class ReadingOptions(Settings):
    """What to read of a file that leaves a choice, and what to assume where a file says nothing.

    Attributes:
        volume: The volume to read from files with several, by its number from 0 or by its name.
        series: The DICOM series to read from folders with several, by its number.
        plane: Read only volumes that were acquired in this plane: in other planes, their voxels are longer. Volumes
            with cubic voxels fit every plane.
        nan: What voxels that are not a number mean: "background", or "error", which makes a scan unusable. With "auto",
            they are the background if they surround the scan (NaN in all of its corners), and an error otherwise.
        spacing_mm: Distance in mm between voxels along each axis, for files that do not contain it.
        max_gigabytes: Largest scan to read, in gigabytes of memory. Larger files are refused before they are read.
    """

    volume: Annotated[int | str | None, tyro.conf.arg(aliases=("--volume",), metavar="N|NAME")] = None
    series: Annotated[int | None, tyro.conf.arg(aliases=("--series",), metavar="N")] = None
    plane: Annotated[Axis | None, tyro.conf.arg(aliases=("--plane",))] = None
    nan: Annotated[Nan, tyro.conf.arg(aliases=("--nan",))] = "auto"
    spacing_mm: Annotated[Spacing | None, tyro.conf.arg(metavar="X Y Z")] = None
    max_gigabytes: Positive = 8.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _validate(self, "reading")

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, by name."""
        values = {name: getattr(value, "item", lambda value=value: value)() for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if value != getattr(ReadingOptions, name)}

    def over(self, others: "ReadingOptions") -> "ReadingOptions":
        """Return the settings of `others`, but with each setting of these that differs from its default."""
        return replace(others, **self.changed())


@dataclass(frozen=True)
class SliceOptions(Settings):
    """Slices of volumes to make images of: every slice of a range, unless count or every_mm ask for fewer.

    Attributes:
        axis: Direction of the slices: "axial" (from below to above), "coronal" (from back to front) or "sagittal" (from
            left to right).
        lowest: Start of the range, as a share of the head's extent along the axis, from 0 to 1.
        highest: End of the range, as a share of the head's extent along the axis, from 0 to 1.
        count: Number of slices to take, evenly spaced over the range.
        every_mm: Distance in mm between the slices to take.
    """

    axis: Axis = "axial"
    lowest: Part = 0.2
    highest: Part = 0.8
    count: Count | None = None
    every_mm: Positive | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _validate(self, "slices")

    def check(self) -> None:
        """Raise an error if the range is empty, or if slices are chosen in two ways."""
        if self.highest < self.lowest:
            raise unfit("highest", expected=f"at least lowest, {self.lowest:g}", got=f"{self.highest:g}")
        if self.count is not None and self.every_mm is not None:
            raise unfit("count", expected="none beside every_mm", got=self.count)


def _validate(options: Settings, name: str) -> None:
    # Defaults are made for every `--help`, and need no validator.
    if any(getattr(options, field.name) != field.default for field in fields(options)):
        validated(options, under=name)
