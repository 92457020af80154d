"""The samples of a scan in its record, coded without loss: the residual of kind `SAMPLES`; see docs/archive.md.

The record has a checksum of the samples, beside that of its bytes.
"""

import math
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from voxlex.archive.format import Cursor, data, text, unpacked
from voxlex.archive.record import Record
from voxlex.errors import ArchiveError, DataError
from voxlex.images.origin import ORIGIN_DEFAULTS, Origin
from voxlex.lossless import decode, encode
from voxlex.scans.formats.nifti import grey_of_samples
from voxlex.scans.formats.nifti_header import described_by
from voxlex.scans.formats.picture_samples import grey_scan
from voxlex.scans.read_write import suffix_of_samples
from voxlex.scans.samples import MODES, Samples
from voxlex.scans.scan import Scan

_LONGEST_EXTRA = 1024
_MOST_PLANES = max(known.planes for known in MODES.values())


class _Parts(NamedTuple):
    mode: str
    extra: bytes
    coded: bytes


def samples_to_bytes(samples: Samples, *, before_slice: Callable[[], None] = lambda: None) -> bytes:
    """Return samples as a residual.

    Args:
        samples: The samples.
        before_slice: See `lossless.encode`.

    Raises:
        DataError: If they are of a kind that is not coded.
    """
    extra = zlib.compress(samples.extra, 9) if samples.extra else b""
    values = samples.values
    if samples.is_volume:
        values = values.reshape((*values.shape, 1)[:3], order="F").transpose(2, 1, 0)
    elif values.ndim == 3 and (values == values[0]).all():  # a grey picture in a file of colour
        values = values[0]
    return text(samples.mode) + data(extra) + encode(_as_integers(values), before_slice=before_slice)


def samples_of(record: Record, *, before_slice: Callable[[], None] = lambda: None) -> Samples:
    """Return the samples of a record; the inverse of `samples_to_bytes`.

    Args:
        record: The record.
        before_slice: See `lossless.encode`.

    Raises:
        ArchiveError: If the record is damaged, or does not hold samples.
    """
    mode, extra, coded = _parts(record)
    shape = record.shape
    try:
        values = decode(coded, largest=_MOST_PLANES * math.prod(shape), before_slice=before_slice)
        if mode:
            if values.shape[-2:] != shape:
                raise DataError(f"expected samples of shape {shape}, got {values.shape[-2:]}")
            known = MODES.get(mode, MODES["L"])  # another mode is refused below
            if known.planes > 1 and values.ndim == 2:
                values = np.repeat(values[None], known.planes, axis=0)
            return Samples(values=_as(values, np.dtype(known.dtype)), mode=mode, extra=extra)
        own, dtype = described_by(extra)
        if own != shape or values.size != math.prod(own):
            raise DataError(f"expected samples of shape {shape}, got {own}")
        return Samples(values=_as(values, dtype).reshape(own[::-1]).transpose(), extra=extra)
    except DataError as cause:
        raise ArchiveError(f"samples: {cause}") from cause


def scan_of(record: Record) -> Scan:
    """Return the scan that reading the file of a record's samples gives.

    Raises:
        ArchiveError: If the record is damaged, or does not hold samples.
    """
    samples = samples_of(record)
    try:
        if samples.mode:
            return grey_scan(samples)
        origin = Origin.from_facts({**ORIGIN_DEFAULTS, **record.facts})
        if origin.stored is None:
            raise DataError("expected a picture, got a volume")
        return grey_of_samples(samples, origin.stored, unknown=origin.unknown)
    except DataError as cause:
        raise ArchiveError(f"samples: {cause}") from cause


def suffix_of_record(record: Record) -> str:
    """Return the suffix of the file that holds the samples of a record as they are.

    Raises:
        ArchiveError: As `samples_of`.
    """
    return suffix_of_samples(record.name, _parts(record).mode)


def _parts(record: Record) -> _Parts:
    if not record.is_exact:
        kind = record.residual_kind
        found = f"a residual of kind {kind}, of a newer version of voxlex" if kind else "codes alone"
        raise ArchiveError(f"expected a scan that was packed with --lossless, got {found}")
    cursor = Cursor(record.residual)
    mode, extra = cursor.text(), cursor.data()
    if extra:
        extra = unpacked(extra, at_most=_LONGEST_EXTRA)
    return _Parts(mode, extra, cursor.take(cursor.left))


def _as_integers(values: np.ndarray) -> np.ndarray:
    """Return floats as integers of the same bits, and in the same order; integers as they are."""
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind != "f":
        return values
    kind = np.dtype(f"i{values.dtype.itemsize}")
    bits = np.ascontiguousarray(values).view(kind)
    return np.where(bits < 0, bits ^ np.iinfo(kind).max, bits)


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return integers as numbers of a type; the inverse of `_as_integers`."""
    dtype = dtype.newbyteorder("=")
    kind = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "f" else dtype
    if values.dtype != kind:
        raise DataError(f"expected samples of {dtype}, got {values.dtype}")
    return np.where(values < 0, values ^ np.iinfo(kind).max, values).view(dtype) if dtype.kind == "f" else values
