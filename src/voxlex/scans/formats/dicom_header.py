"""The tags of a DICOM file that voxlex reads: geometry and grey scale. All other tags stay in the file."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GEOMETRY_TAGS = (
    "SOPClassUID",  # tells images from reports
    "SeriesInstanceUID",  # tells series apart and is then forgotten
    "InstanceNumber",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
PIXEL_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "ModalityLUTSequence",
)

_X_RAY = ("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA")
MODALITIES = (*_X_RAY, "CT", "MR", "NM", "OT", "PT", "SC", "SEG", "US", "XC")
"""Modalities that a scan may have. Other values are dropped."""

_WITH_WINDOW = (*_X_RAY, "CT")  # for other modalities, the window depends on the last viewer


class NoImageError(DataError):
    """A sound DICOM file that does not hold an image: a report, a plan, a directory."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane of pixels, with its position (in DICOM's LPS+ coordinates, in mm) and the meaning of its numbers.

    Attributes:
        position: Centre of its first pixel; None where the file does not say.
        orientation: Direction of its rows and of its columns, three numbers each.
        spacing_mm: Distance between rows and between columns.
        thickness_mm: Thickness of the slice; None where the file does not say.
        number: Its number in the series.
        slope: The stored number times `slope` plus `intercept` is the grey value.
        intercept: See `slope`.
        window: Grey values `(low, high)` to display.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    number: int
    slope: float
    intercept: float
    window: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Header:
    """Facts about all planes of a file. `series` is only used to tell series apart, and is never written."""

    series: str
    modality: str
    rows: int
    columns: int
    planes: tuple[Plane, ...]

    @property
    def is_placed(self) -> bool:
        """Whether the file contains the position of each plane."""
        return all(plane.position is not None and plane.orientation is not None for plane in self.planes)

    @property
    def is_slice(self) -> bool:
        """Whether this is a single slice of a stack, and not an X-ray, a film or a volume."""
        return self.is_placed and len(self.planes) == 1


def open_dataset(path: Path, *, pixels: bool) -> "Dataset":
    """Read the tags that voxlex uses, and optionally the pixels. All other tags stay in the file.

    Raises:
        NoImageError: If the file does not hold an image.
        DataError: If the file is missing, is not a DICOM file, or is damaged.
    """
    from pydicom import dcmread
    from pydicom.uid import UID

    tags: list[str | int | tuple[int, int]] = [*GEOMETRY_TAGS, *PIXEL_TAGS, *(["PixelData"] if pixels else [])]
    # Error messages of pydicom may quote the file, so they are not passed on.
    try:
        content = BytesIO(path.read_bytes())  # pydicom reads a few bytes at a time, which files are slow at
        dataset = dcmread(content, force=True, specific_tags=tags, stop_before_pixels=not pixels)
        kind = UID("".join(_texts(dataset, "SOPClassUID") or _texts(dataset.file_meta, "MediaStorageSOPClassUID")))
        complete = "Rows" in dataset and "Columns" in dataset and (not pixels or "PixelData" in dataset)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except Exception:
        raise DataError("is not a DICOM file, or is damaged or cut short") from None
    if complete:
        return dataset
    if kind and "Image" not in kind.name and "Rows" not in dataset:
        raise NoImageError("is a DICOM file without an image")
    raise DataError("is not a DICOM file, or is damaged or cut short")


def series_of(path: Path) -> str | None:
    """Return the series of a file, or its path if it is damaged, for comparisons; None if it is not an image."""
    try:
        header = header_of(open_dataset(path, pixels=False))
    except NoImageError:
        return None
    except DataError:  # reading the file reports the error
        return str(path)
    return header.series if header.is_slice else str(path)


def header_of(dataset: "Dataset") -> Header:
    """Read the geometry and grey scale of each plane.

    Raises:
        DataError: If a tag that is needed does not hold a number, or is damaged.
    """
    try:
        return _header(dataset)
    except DataError:
        raise
    except Exception:  # pydicom raises nearly anything, and quotes the file
        raise DataError("its header is damaged") from None


def _header(dataset: "Dataset") -> Header:
    modality = "".join(_texts(dataset, "Modality"))
    modality = modality if modality in MODALITIES else ""
    count = max(1, int(_first(dataset, "NumberOfFrames") or 1))
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    if len(groups) == count:
        planes = [_plane([*_inside(group), *_inside(*shared), dataset], row) for row, group in enumerate(groups)]
    elif count == 1:
        planes = [_plane([dataset], int(_first(dataset, "InstanceNumber") or 0))]
    else:
        planes = [_plane([dataset], row, placed=False) for row in range(count)]
    if modality not in _WITH_WINDOW:
        planes = [Plane(**{**vars(plane), "window": None}) for plane in planes]
    return Header(
        series="".join(_texts(dataset, "SeriesInstanceUID")),
        modality=modality,
        rows=int(dataset["Rows"].value),
        columns=int(dataset["Columns"].value),
        planes=tuple(planes),
    )


def _inside(*groups: "Dataset") -> list["Dataset"]:
    """Return the datasets one level down, where the functional groups of a multi-frame file keep their tags."""
    return [item for group in groups for element in group if element.VR == "SQ" for item in element.value]


def _plane(sources: list["Dataset"], number: int, *, placed: bool = True) -> Plane:
    def numbers(tag: str, count: int) -> tuple[float, ...] | None:
        found = (_numbers(source, tag) for source in sources)
        return next((values[:count] for values in found if len(values) >= count), None)

    spacing = numbers("PixelSpacing", 2) or numbers("ImagerPixelSpacing", 2)
    thickness = numbers("SliceThickness", 1) or numbers("SpacingBetweenSlices", 1)
    centre, width = numbers("WindowCenter", 1), numbers("WindowWidth", 1)
    return Plane(
        position=numbers("ImagePositionPatient", 3) if placed else None,
        orientation=numbers("ImageOrientationPatient", 6) if placed else None,
        spacing_mm=spacing,
        thickness_mm=abs(thickness[0]) or None if thickness else None,
        number=number,
        slope=(numbers("RescaleSlope", 1) or (1.0,))[0] or 1.0,
        intercept=(numbers("RescaleIntercept", 1) or (0.0,))[0],
        window=(centre[0] - width[0] / 2, centre[0] + width[0] / 2) if centre and width and width[0] > 0 else None,
    )


def _first(dataset: "Dataset", tag: str) -> float | None:
    values = _numbers(dataset, tag)
    return values[0] if values else None


def _numbers(dataset: "Dataset", tag: str) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in _texts(dataset, tag) if text)
    except ValueError:
        raise DataError(f"expected a number in {tag}, got something else") from None


def _texts(dataset: "Dataset", tag: str) -> list[str]:
    # Converting a value that breaks the rules of DICOM would raise a warning that quotes it; as text it causes none.
    element = dataset.get_item(tag)
    if element is None or element.value is None:
        return []
    raw = element.value
    text = raw.decode("latin-1") if isinstance(raw, bytes) else "\\".join(str(part) for part in _listed(raw))
    return [part.strip(" \0") for part in text.split("\\")]


def _listed(value: object) -> list[object]:
    return [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)
