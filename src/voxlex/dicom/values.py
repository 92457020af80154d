"""Read the values of tags as text and as numbers, without the conversions of pydicom, whose warnings quote the file."""

import struct
from math import isfinite
from typing import TYPE_CHECKING

from voxlex.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def texts(dataset: "Dataset", tag: str | int) -> list[str]:
    """Return the values of a tag as text; an empty list if the tag is missing or empty."""
    # Converting a value that breaks the rules of DICOM would raise a warning that quotes it; as text it causes none.
    element = dataset.get_item(tag)
    if element is None or element.value is None:
        return []
    raw = element.value
    text = raw.decode("latin-1") if isinstance(raw, bytes) else "\\".join(str(part) for part in _listed(raw))
    found = [part.strip(" \0") for part in text.split("\\")]
    return found if any(found) else []


def numbers(dataset: "Dataset", tag: str | int) -> tuple[float, ...]:
    """Return the values of a tag as numbers, an empty tuple if the tag is missing or empty.

    Raises:
        DataError: If the tag does not hold numbers.
    """
    element = dataset.get_item(tag)
    if element is None or element.value is None:
        return ()
    found = _unpacked(element) if isinstance(element.value, bytes) else None
    try:
        values = tuple(float(text) for text in texts(dataset, tag) if text) if found is None else found
    except ValueError:
        raise DataError(f"expected a number in {_named(tag)}, got something else") from None
    if not all(isfinite(value) for value in values):
        raise DataError(f"expected finite numbers in {_named(tag)}, got NaN or infinity")
    return values


def number(dataset: "Dataset", tag: str | int) -> float | None:
    """Return the first number in a tag; None if the tag is missing or empty."""
    values = numbers(dataset, tag)
    return values[0] if values else None


def whole(dataset: "Dataset", tag: str) -> int:
    """Return the whole number that a tag must hold.

    Raises:
        DataError: If the tag is missing, or does not hold a whole number.
    """
    value = number(dataset, tag)
    if value is None:
        raise DataError(f"expected a number in {tag}, got none: the tag is missing or empty")
    if value != int(value):
        raise DataError(f"expected a whole number in {tag}, got {value:g}")
    return int(value)


def _unpacked(element: object) -> tuple[float, ...] | None:
    """Return the numbers of an element whose representation is binary; None for text."""
    from pydicom.datadict import dictionary_VR

    vr = getattr(element, "VR", None)
    if vr in (None, "UN"):
        try:
            vr = dictionary_VR(element.tag)  # type: ignore[attr-defined]
        except KeyError:
            return None
    kind = _BINARY.get("US" if str(vr).startswith("US") else str(vr))
    if kind is None:
        return None
    raw: bytes = element.value  # type: ignore[attr-defined]
    order = "<" if getattr(element, "is_little_endian", True) else ">"
    return tuple(
        float(value)
        for (value,) in struct.iter_unpack(order + kind, raw[: len(raw) - len(raw) % struct.calcsize(kind)])
    )


def _named(tag: str | int) -> str:
    return tag if isinstance(tag, str) else f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _listed(value: object) -> list[object]:
    return [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)
