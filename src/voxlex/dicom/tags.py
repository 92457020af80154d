"""The tags of a DICOM file that voxlex reads, and those of a single frame. All other tags stay in the file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from voxlex.dicom.mosaic import MOSAIC_TAGS
from voxlex.dicom.values import numbers, texts
from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GEOMETRY_TAGS = (
    "SOPClassUID",  # tells images from reports
    "SOPInstanceUID",  # tells copies of a file apart from others, and is then forgotten
    "SeriesInstanceUID",  # tells series apart and is then forgotten
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "SliceThickness",
    "SpacingBetweenSlices",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "RealWorldValueMappingSequence",
    "LossyImageCompression",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    0x2005100E,  # scale of Philips
)
VOLUME_TAGS = (
    "EchoTime",
    "InversionTime",
    "TriggerTime",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    0x0019100C,  # b-value of Siemens
    0x00431039,  # b-value of GE
    0x0043102F,  # magnitude, phase, real or imaginary, of GE
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
TAGS: tuple[str | int, ...] = (*GEOMETRY_TAGS, *VOLUME_TAGS, *PIXEL_TAGS, *MOSAIC_TAGS)
"""Tags that are read of a file."""

_DEPTH = 4  # of sequences in sequences that are searched for tags of a frame
_NOT_OF_THE_FRAME = ("DerivationImageSequence", "ReferencedImageSequence", "SourceImageSequence")


class FrameTags:
    """The tags of a frame: those of its own groups, else the shared ones, else those of the file."""

    def __init__(self, sources: Sequence["Dataset"], base: "FrameTags | None" = None) -> None:
        self.places: dict[int, Dataset] = dict(base.places) if base else {}
        for source in reversed(sources):
            self.places.update(dict.fromkeys(source.keys(), source))

    def texts(self, tag: str | int) -> list[str]:
        """Return the values of a tag as text; an empty list if it is missing or empty."""
        place = self.places.get(tag_number(tag))
        return [] if place is None else texts(place, tag)

    def numbers(self, tag: str | int, count: int | None = None) -> tuple[float, ...] | None:
        """Return the numbers of a tag; None if it is missing or empty."""
        place = self.places.get(tag_number(tag))
        found = () if place is None else numbers(place, tag)
        if found and count is not None and len(found) != count:
            raise DataError(f"expected {count} numbers in {tag}, got {len(found)}")
        return found or None

    def first(self, tag: str | int) -> float | None:
        """Return the first number of a tag that nothing depends on; None if it cannot be read."""
        try:
            found = self.numbers(tag)
        except DataError:
            return None
        return found[0] if found else None


def tag_number(tag: str | int) -> int:
    """Return the number of a tag that is given by keyword or number; -1 for unknown keywords."""
    from pydicom.datadict import tag_for_keyword

    found = tag_for_keyword(tag) if isinstance(tag, str) else tag
    return -1 if found is None else found


def inside(*groups: "Dataset") -> list["Dataset"]:
    """Return the datasets in the sequences of some datasets, the nearest first."""
    found: list[Dataset] = []
    level = list(groups)
    skipped = {tag_number(name) for name in _NOT_OF_THE_FRAME}
    for _ in range(_DEPTH):
        level = [
            item
            for group in level
            for tag in group.keys()  # noqa: SIM118 - a dataset yields its elements, converted
            if tag not in skipped and _is_sequence(group, tag)
            for item in group[tag].value or []
        ]
        found += level
    return found


def _is_sequence(dataset: "Dataset", tag: int) -> bool:
    from pydicom.datadict import dictionary_VR

    vr = dataset.get_item(tag).VR
    if vr is None:
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return False
    return str(vr) == "SQ"
