"""Turn the stored numbers of a DICOM file into grey values: slope and intercept, colour, and what is white."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from voxlex.dicom.codecs import decode
from voxlex.dicom.file import DicomFile, quiet
from voxlex.dicom.header import Header, Plane
from voxlex.dicom.pixel_format import PixelFormat, format_of
from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
_QUANTITIES = ("CT", "PT")  # their values are quantities and do not depend on the display


def grey_values(file: DicomFile, header: Header, planes: Sequence[int], *, max_gigabytes: float) -> np.ndarray:
    """Decode planes, convert colour to luminance (ITU-R 601), and apply slope and intercept.

    "MONOCHROME1", in which low values are white, is inverted (except for CT and PET, whose values are quantities).

    Args:
        file: The file.
        header: Its header.
        planes: Indices of the planes.
        max_gigabytes: Most gigabytes of stored numbers.

    Returns:
        `(planes, rows, columns)`, real numbers.

    Raises:
        DataError: If the pixels cannot be decoded.
    """
    pixels = format_of(file)
    if header.mosaic is None:
        stored = decode(file, pixels, planes, max_gigabytes=max_gigabytes)
    else:
        stored = header.mosaic.unpacked(decode(file, pixels, [0], max_gigabytes=max_gigabytes)[0])[list(planes)]
    if stored.shape[-1] == 3:
        return _luminance(stored)
    chosen = [header.planes[plane] for plane in planes]
    values = _rescaled(stored[..., 0], file.dataset, chosen)
    if _is_turned(pixels, header):
        ends = np.array([_sum_of_ends(plane, pixels) for plane in chosen]).reshape(-1, 1, 1)
        values = ends - values
    return _narrowed(values)


def display_window(file: DicomFile, header: Header, plane: int) -> tuple[float, float] | None:
    """Return the window of a plane, in the grey values that `grey_values` returns."""
    window, pixels = header.planes[plane].window, format_of(file)
    if window is None or not _is_turned(pixels, header):
        return window
    ends = _sum_of_ends(header.planes[plane], pixels)
    return ends - window[1], ends - window[0]


def _luminance(colours: np.ndarray) -> np.ndarray:
    kept = colours.dtype if colours.dtype.itemsize <= 2 else np.dtype(np.float64)
    return (colours @ np.array(_LUMINANCE)).round().astype(kept)


def _rescaled(stored: np.ndarray, dataset: "Dataset", planes: Sequence[Plane]) -> np.ndarray:
    if "ModalityLUTSequence" in dataset:
        from pydicom.pixels import apply_modality_lut

        try:
            with quiet():
                return apply_modality_lut(stored, dataset)
        except Exception:  # pydicom raises nearly anything, and may quote the file
            raise DataError("its ModalityLUTSequence is damaged") from None
    known = [plane.slope is not None for plane in planes]
    if any(known) and not all(known):
        raise DataError(f"expected RescaleSlope for all of its {len(known)} planes, got it for {sum(known)}")
    scales = [_scale(plane) for plane in planes]
    if all(scale == (1.0, 0.0) for scale in scales):
        return stored
    columns = np.array(scales).reshape(-1, 2, 1, 1)
    return stored * columns[:, 0] + columns[:, 1]


def _scale(plane: Plane) -> tuple[float, float]:
    # Without a scale, the stored numbers are the grey values (DICOM PS3.3, C.11.1).
    return (1.0, 0.0) if plane.slope is None or plane.intercept is None else (plane.slope, plane.intercept)


def _narrowed(values: np.ndarray) -> np.ndarray:
    """Convert whole numbers that fit into 16 or 32 bits to integers, such as the Hounsfield units of CT."""
    if values.dtype != np.float64 or not np.array_equal(values, np.rint(values)):
        return values
    for kind in (np.int16, np.int32):
        if values.min() >= np.iinfo(kind).min and values.max() <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _is_turned(pixels: PixelFormat, header: Header) -> bool:
    return pixels.photometric == "MONOCHROME1" and header.modality not in _QUANTITIES


def _sum_of_ends(plane: Plane, pixels: PixelFormat) -> float:
    slope, intercept = _scale(plane)
    return slope * sum(pixels.limits) + 2 * intercept
