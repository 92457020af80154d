"""What the headers of FreeSurfer's MGH files say, and what they do not say; parsed as those of NIfTI."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.content import kind_of
from voxlex.scans.formats.nifti_header import Layout
from voxlex.scans.grid import with_spacing

_HEADER = 284


def mgh_layout(start: bytes, *, spacing_mm: Sequence[float] | None) -> Layout:
    """Read the header of a FreeSurfer file.

    Raises:
        DataError: If it is of another kind, is damaged, or does not say the distance between voxels.
    """
    import nibabel

    header: Any = nibabel.freesurfer.mghformat.MGHHeader(start[:_HEADER].ljust(_HEADER, b"\0"), check=False)
    if len(start) < _HEADER or int.from_bytes(start[:4], "big") != 1:
        raise DataError(f"expected an MGH file, got {_kind_or_damaged(start)}")
    kept = [int(length) for length in header["dims"]]
    if min(kept) < 1:
        raise DataError(f"its header is damaged: expected lengths above 0, got {kept}")
    shape = tuple(kept if kept[3] > 1 else kept[:3])
    try:
        dtype = np.dtype(header.get_data_dtype()).newbyteorder(">")
    except Exception:
        raise DataError("its header is damaged: it names an unknown type of numbers") from None
    unknown: tuple[str, ...] = ()
    good = int.from_bytes(start[28:30], "big") == 1
    steps, doubts = with_spacing([float(step) for step in header["delta"]] if good else [], shape, spacing_mm)
    if not good:
        unknown = (*doubts, "orientation")
        affine = np.eye(4)  # FreeSurfer's convention: to the left, down and to the front
        affine[:3, :3] = np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]) * steps
    else:
        unknown = doubts
        header["delta"] = steps
        affine = np.array(header.get_affine(), np.float64)
    return Layout(
        shape=shape,
        dtype=dtype,
        offset=_HEADER,
        slope=1.0,
        intercept=0.0,
        affine=affine,
        space=1 if good else 2,
        unknown=unknown,
    )


def _kind_or_damaged(start: bytes) -> str:
    kind = kind_of(start)
    return "a file that is damaged or cut short" if kind == "something else" else kind
