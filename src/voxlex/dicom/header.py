"""The geometry and the grey scale of a DICOM file."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from voxlex.dicom.file import DicomFile, quiet
from voxlex.dicom.mosaic import Mosaic, mosaic_of
from voxlex.dicom.tags import FrameTags, inside, tag_number
from voxlex.dicom.values import number, texts, whole
from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

X_RAY = ("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA")
"""Modalities of projections, in which a pixel of the detector has a size of its own."""

MODALITIES = (*X_RAY, "CT", "MR", "NM", "OT", "PT", "SC", "SEG", "US", "XC")
"""Modalities that a scan may have. Other values are dropped."""

_WITH_WINDOW = (*X_RAY, "CT")  # for other modalities, the window depends on the last viewer
_MOST_OF_A_FRAME = 1 << 15  # bytes in the functional groups of a frame; scanners write some thousands
_PARTS = {
    "magnitude": ("M", "MAGNITUDE", "M_FFE", "M_SE", "M_IR"),
    "phase": ("P", "PHASE", "PHASE MAP"),
    "real": ("R", "REAL"),
    "imaginary": ("I", "IMAGINARY"),
    "water": ("W", "WATER"),
    "fat": ("F", "FAT"),
    "in phase": ("IP", "IN_PHASE"),
    "opposed phase": ("OP", "OPP_PHASE", "OUT_PHASE"),
}
_PARTS_OF_GE = ("magnitude", "phase", "real", "imaginary")

Fact = float | str | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane of pixels, with its position (in DICOM's LPS+ coordinates, in mm) and the meaning of its numbers.

    Attributes:
        position: Centre of its first pixel; None where the file does not say.
        orientation: Direction of its rows and of its columns, three numbers each; None where the file does not say.
        spacing_mm: Distance between rows and between columns; None where the file does not say.
        thickness_mm: Thickness of the slice; None where the file does not say.
        number: Its number in the series; None where the file does not say.
        slope: The stored number times `slope` plus `intercept` is the grey value; None where the file does not say,
            and grey values are the stored numbers.
        intercept: See `slope`.
        window: Grey values `(low, high)` to display; None where the file does not say.
        facts: What may tell volumes of a series apart: "echo" (ms), "b" (s/mm²), "part" ("phase") and so on.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    number: int | None
    slope: float | None
    intercept: float | None
    window: tuple[float, float] | None
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Header:
    """Facts about all planes of a file.

    Attributes:
        series: Only used to tell series apart, never written or said.
        instance: Only used to find copies of a file, never written or said.
        image_type: Words of the file about what it is, in capitals, such as "LOCALIZER".
        modality: One of `MODALITIES`, or "".
        rows: Rows of each plane.
        columns: Columns of each plane.
        frames: Number of frames in the file.
        bytes_each: Bytes that a stored number takes.
        planes: The planes: one for each frame, or for each tile of a mosaic.
        mosaic: How planes are arranged in the only frame, as Siemens does; None otherwise.
        notes: What a user should know of these grey values.
    """

    series: str
    instance: str
    image_type: tuple[str, ...]
    modality: str
    rows: int
    columns: int
    frames: int
    bytes_each: int
    planes: tuple[Plane, ...]
    mosaic: Mosaic | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_placed(self) -> bool:
        """Whether the file contains the position of each plane."""
        return all(plane.position is not None and plane.orientation is not None for plane in self.planes)

    @property
    def is_slice(self) -> bool:
        """Whether this is a single slice of a stack, and not an X-ray, a film, a mosaic or a volume."""
        return self.is_placed and self.frames == 1 and self.mosaic is None


def header_of(file: DicomFile) -> Header:
    """Read the geometry and grey scale of each plane.

    Raises:
        DataError: If a tag that is needed does not hold a number, or is damaged.
    """
    try:
        with quiet():
            return _header(file)
    except (DataError, MemoryError):
        raise
    except Exception:  # pydicom raises nearly anything, and quotes the file
        raise DataError("its header is damaged") from None


def series_of(file: DicomFile) -> tuple[str, int | None]:
    """Return what tells the series of a file apart from others, "" if the file does not say, and its number."""
    return "".join(texts(file.dataset, "SeriesInstanceUID")), _whole_or_none(file.dataset, "SeriesNumber")


def _header(file: DicomFile) -> Header:
    dataset = file.dataset
    modality = "".join(texts(dataset, "Modality"))
    modality = modality if modality in MODALITIES else ""
    image_type = tuple(part.upper() for part in texts(dataset, "ImageType"))
    rows, columns, frames = _size(file)
    top = FrameTags([dataset])
    planes = _planes(top, frames, modality)
    mosaic = None
    if "MOSAIC" in image_type:
        mosaic = mosaic_of(dataset, rows=rows, columns=columns, frames=frames)
        first = planes[0]
        places = mosaic.positions(first.position, first.orientation, first.spacing_mm)
        planes = [replace(first, position=place) for place in places]
        rows, columns = rows // mosaic.side, columns // mosaic.side
    return Header(
        series=series_of(file)[0],
        instance="".join(texts(dataset, "SOPInstanceUID")),
        image_type=image_type,
        modality=modality,
        rows=rows,
        columns=columns,
        frames=frames,
        bytes_each=max(1, int(number(dataset, "BitsAllocated") or 8) // 8),
        planes=tuple(planes),
        mosaic=mosaic,
        notes=_notes(top, planes, image_type, modality),
    )


def _size(file: DicomFile) -> tuple[int, int, int]:
    """Return rows, columns and frames, after a look at whether the file is long enough for them."""
    dataset = file.dataset
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    frames = whole(dataset, "NumberOfFrames") if texts(dataset, "NumberOfFrames") else 1
    for tag, value in (("Rows", rows), ("Columns", columns), ("NumberOfFrames", frames)):
        if value < 1:
            raise DataError(f"expected at least 1 in {tag}, got {value}")
    if frames > 1:
        least = 8  # bytes of the item of a compressed frame
        if not file.is_compressed:
            least = max(1, rows * columns * int(number(dataset, "BitsAllocated") or 1) // 8)
        if frames > max(1, file.most // least):
            raise DataError(
                f"expected {frames} frames, as NumberOfFrames says, got pixels for at most {file.most // least}: "
                "the file is damaged or cut short"
            )
    return rows, columns, frames


def _planes(top: FrameTags, frames: int, modality: str) -> list[Plane]:
    dataset = top.places.get(tag_number("Rows"))
    for tag in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        _check_length(dataset, tag, frames)
    groups = [] if dataset is None else list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if not groups:
        number = _whole_or_none(dataset, "InstanceNumber")
        plane = _plane(top, 0 if number is None and frames > 1 else number, modality, placed=frames == 1)
        return [plane] * frames
    if len(groups) != frames:
        raise DataError(
            f"expected {frames} items in PerFrameFunctionalGroupsSequence, one for each frame, got {len(groups)}"
        )
    shared = [] if dataset is None else list(dataset.get("SharedFunctionalGroupsSequence") or [])
    base = FrameTags(inside(*shared), top)
    return [_plane(FrameTags(inside(group), base), row, modality) for row, group in enumerate(groups)]


def _check_length(dataset: "Dataset | None", tag: str, frames: int) -> None:
    """Refuse a sequence that is far too long for its frames before it is taken apart, which takes minutes."""
    value = None if dataset is None or tag not in dataset else dataset.get_item(tag).value
    if isinstance(value, bytes) and len(value) > (frames + 16) * _MOST_OF_A_FRAME:
        raise DataError(f"expected items for {frames} frames in {tag}, got {len(value)} bytes")


def _plane(tags: FrameTags, number: int | None, modality: str, *, placed: bool = True) -> Plane:
    thickness = tags.first("SliceThickness") or tags.first("SpacingBetweenSlices")
    slope, intercept = _scale(tags)
    return Plane(
        position=tags.numbers("ImagePositionPatient", 3) if placed else None,
        orientation=tags.numbers("ImageOrientationPatient", 6) if placed else None,
        spacing_mm=_spacing(tags, modality),
        thickness_mm=abs(thickness) if thickness else None,
        number=number,
        slope=slope,
        intercept=intercept,
        window=_window(tags) if modality in _WITH_WINDOW else None,
        facts=_facts(tags) if placed else {},
    )


def _spacing(tags: FrameTags, modality: str) -> tuple[float, ...] | None:
    names = ("PixelSpacing", "ImagerPixelSpacing") if modality in X_RAY else ("PixelSpacing",)
    for name in names:
        found = tags.numbers(name, 2)
        if found is not None:
            if min(found) <= 0:
                raise DataError(f"expected two lengths above 0 in {name}, got {found[0]:g} and {found[1]:g}")
            return found
    aspect = tags.numbers("PixelAspectRatio", 2)
    if aspect is not None and aspect[0] != aspect[1]:
        raise DataError(
            f"expected square pixels or their PixelSpacing, got a PixelAspectRatio of {aspect[0]:g} to {aspect[1]:g}"
        )
    return None


def _scale(tags: FrameTags) -> tuple[float | None, float | None]:
    slope, intercept = tags.numbers("RescaleSlope", 1), tags.numbers("RescaleIntercept", 1)
    if slope is None or intercept is None:
        if slope is not None or intercept is not None:
            there, missing = ("RescaleSlope", "RescaleIntercept")[:: 1 if slope else -1]
            raise DataError(f"expected {there} together with {missing}, which is missing or empty")
        return None, None
    if slope[0] == 0:
        raise DataError("expected another number than 0 in RescaleSlope, which turns all grey values into one")
    return slope[0], intercept[0]


def _window(tags: FrameTags) -> tuple[float, float] | None:
    centre, width = tags.first("WindowCenter"), tags.first("WindowWidth")
    return (centre - width / 2, centre + width / 2) if centre is not None and width is not None and width > 0 else None


def _facts(tags: FrameTags) -> dict[str, Fact]:
    b_value = next(
        (value for value in (tags.first("DiffusionBValue"), tags.first(0x0019100C)) if value is not None), None
    )
    if b_value is None and (ge := tags.first(0x00431039)) is not None:
        b_value = ge % 1e6  # GE adds a billion to some
    found: dict[str, Fact | None] = {
        "part": _part(tags),
        "echo": _either(tags, "EffectiveEchoTime", "EchoTime"),
        "b": b_value,
        "direction": _direction(tags),
        "inversion": _either(tags, "InversionTimes", "InversionTime"),
        "time": _either(tags, "TemporalPositionIndex", "TemporalPositionIdentifier"),
        "trigger": _either(tags, "NominalCardiacTriggerDelayTime", "TriggerTime"),
        "acquisition": _either(tags, "FrameAcquisitionNumber", "AcquisitionNumber"),
        "stack": " ".join(tags.texts("StackID")) or None,
        "type": "\\".join(tags.texts("FrameType") or tags.texts("ImageType")) or None,
    }
    return {kind: value for kind, value in found.items() if value is not None}


def _either(tags: FrameTags, *names: str) -> float | None:
    return next((value for value in map(tags.first, names) if value is not None), None)


def _direction(tags: FrameTags) -> tuple[float, ...] | None:
    try:
        found = tags.numbers("DiffusionGradientOrientation")
    except DataError:
        return None
    return tuple(round(value, 3) for value in found) if found else None


def _part(tags: FrameTags) -> str | None:
    words = [*tags.texts("ComplexImageComponent"), *(tags.texts("FrameType") or tags.texts("ImageType"))[2:]]
    for word in words:
        for part, known in _PARTS.items():
            if word.upper() in known:
                return part
    ge = tags.first(0x0043102F)
    return _PARTS_OF_GE[int(ge)] if ge is not None and ge in range(len(_PARTS_OF_GE)) else None


def _notes(top: FrameTags, planes: list[Plane], image_type: tuple[str, ...], modality: str) -> tuple[str, ...]:
    unscaled = any(plane.slope is None for plane in planes)
    found = {
        "is derived from other images (ImageType DERIVED)": image_type[:1] == ("DERIVED",),
        "was compressed with losses before (LossyImageCompression)": top.texts("LossyImageCompression")[:1] == ["01"],
        "holds RealWorldValueMappingSequence, which is not applied": tag_number("RealWorldValueMappingSequence")
        in top.places,
        "holds a scale of Philips (2005,100e), which is not applied": bool(top.first(0x2005100E)),
        "is a CT without RescaleSlope and RescaleIntercept, and may not hold Hounsfield units": (
            modality == "CT" and unscaled
        ),
    }
    return tuple(note for note, holds in found.items() if holds)


def _whole_or_none(dataset: "Dataset | None", tag: str) -> int | None:
    try:
        value = None if dataset is None else number(dataset, tag)
    except DataError:
        return None
    return int(value) if value is not None else None
