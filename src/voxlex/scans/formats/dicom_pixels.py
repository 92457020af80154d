"""Read the pixels of a DICOM file, with pydicom if they are not compressed, else with GDCM (in SimpleITK)."""

from typing import TYPE_CHECKING

import numpy as np

from voxlex.errors import DataError
from voxlex.files import workplace
from voxlex.scans.formats.dicom_header import PIXEL_TAGS, Header
from voxlex.scans.scan import LUMINANCE, as_voxels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_QUANTITIES = ("CT", "PT")  # their values are quantities and do not depend on the display


def grey_values(dataset: "Dataset", header: Header) -> np.ndarray:
    """Decode the pixels, convert colour to luminance (ITU-R 601), and apply slope and intercept.

    "MONOCHROME1", in which low values are white, is inverted (except for CT and PET, whose values are quantities).

    Returns:
        `(planes, rows, columns)`, one of `VOXEL_TYPES`.

    Raises:
        DataError: If the pixels cannot be decoded.
    """
    try:
        stored = _decode(dataset).reshape(len(header.planes), header.rows, header.columns, -1)
    except Exception:  # a decoder raises nearly anything, and may quote the file
        raise DataError("its pixels cannot be decoded: damaged, cut short or compressed in an unknown way") from None
    if stored.shape[-1] == 3:
        return as_voxels(_luminance(stored))
    values = _rescaled(stored[..., 0], dataset, header)
    if _is_turned(dataset, header):
        limits = _limits(dataset)
        values = np.stack(
            [
                _sum_of_ends(plane.slope, plane.intercept, limits) - rows
                for rows, plane in zip(values, header.planes, strict=True)
            ]
        )
    return as_voxels(_narrowed(values))


def display_window(dataset: "Dataset", header: Header) -> tuple[float, float] | None:
    """Return the window of the middle plane, in the grey values that `grey_values` returns."""
    plane = header.planes[len(header.planes) // 2]
    if plane.window is None or not _is_turned(dataset, header):
        return plane.window
    ends = _sum_of_ends(plane.slope, plane.intercept, _limits(dataset))
    return ends - plane.window[1], ends - plane.window[0]


def _decode(dataset: "Dataset") -> np.ndarray:
    from pydicom.pixels import apply_color_lut
    from pydicom.uid import ImplicitVRLittleEndian, RLELossless

    if "TransferSyntaxUID" not in dataset.file_meta:  # a file without preamble
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax != RLELossless and not syntax.is_deflated:
        return _decode_with_gdcm(dataset)
    _cut_padding(dataset)
    values = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(values, dataset)
    return _without_overlay(values, dataset) if dataset.SamplesPerPixel == 1 else values


def _decode_with_gdcm(dataset: "Dataset") -> np.ndarray:
    """Decode with GDCM, from a copy that contains only pixels, so that GDCM does not apply a slope."""
    import SimpleITK
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

    many = int(dataset.get("NumberOfFrames") or 1) > 1
    kind = MultiFrameGrayscaleWordSecondaryCaptureImageStorage if many else SecondaryCaptureImageStorage
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, "2.25.1"
    bare = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    bare.SOPClassUID, bare.SOPInstanceUID = kind, "2.25.1"
    for tag in (*PIXEL_TAGS, "PixelData"):
        if tag in dataset and tag != "ModalityLUTSequence":
            bare[tag] = dataset[tag]
    with workplace() as folder:
        path = folder / "pixels.dcm"
        bare.save_as(path)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        return SimpleITK.GetArrayFromImage(reader.Execute())


def _cut_padding(dataset: "Dataset") -> None:
    # pydicom warns of bytes after the last pixel, which do no harm.
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated or dataset.BitsAllocated < 8:
        return
    frames = int(dataset.get("NumberOfFrames") or 1) * int(dataset.SamplesPerPixel)
    length = frames * int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated) // 8
    if len(dataset.PixelData) > length + length % 2:
        dataset.PixelData = dataset.PixelData[: length + length % 2]


def _without_overlay(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    # Old files keep overlays in the bits above those of the pixels.
    spare = int(dataset.BitsAllocated) - int(dataset.BitsStored)
    if values.dtype.kind not in "ui" or not 0 < spare < 8 * values.dtype.itemsize:
        return values
    return (values << spare) >> spare


def _luminance(colours: np.ndarray) -> np.ndarray:
    kept = colours.dtype if colours.dtype.itemsize <= 2 else np.dtype(np.float64)
    return (colours @ np.array(LUMINANCE)).round().astype(kept)


def _rescaled(stored: np.ndarray, dataset: "Dataset", header: Header) -> np.ndarray:
    from pydicom.pixels import apply_modality_lut

    if "ModalityLUTSequence" in dataset:
        return apply_modality_lut(stored, dataset)
    scales = [(plane.slope, plane.intercept) for plane in header.planes]
    if all(scale == (1.0, 0.0) for scale in scales):
        return stored
    columns = np.array(scales).reshape(-1, 2, 1, 1)
    return stored * columns[:, 0] + columns[:, 1]


def _narrowed(values: np.ndarray) -> np.ndarray:
    """Convert whole numbers that fit into 16 or 32 bits to integers, such as the Hounsfield units of CT."""
    if values.dtype != np.float64 or not np.array_equal(values, np.rint(values)):
        return values
    for kind in (np.int16, np.int32):
        if values.min() >= np.iinfo(kind).min and values.max() <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _is_turned(dataset: "Dataset", header: Header) -> bool:
    return dataset.get("PhotometricInterpretation") == "MONOCHROME1" and header.modality not in _QUANTITIES


def _limits(dataset: "Dataset") -> tuple[int, int]:
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation) == 1
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _sum_of_ends(slope: float, intercept: float, limits: tuple[int, int]) -> float:
    return slope * (limits[0] + limits[1]) + 2 * intercept
