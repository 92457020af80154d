"""Scan files of every kind: which there are, how to read one and how to write one."""

from pathlib import Path

from voxlex.data.finding import IMAGE_SUFFIXES, VOLUME_SUFFIXES, find_scans, is_volume, suffix_of
from voxlex.data.pictures import read_picture, write_picture
from voxlex.data.scan import Scan, StoredGrid
from voxlex.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "VOLUME_SUFFIXES",
    "Scan",
    "StoredGrid",
    "find_scans",
    "is_volume",
    "read_scan",
    "write_scan",
]


def read_scan(path: str | Path, *, volume: int | None = None) -> Scan:
    """Read a scan: grey values in their own units, canonical order of axes, and nothing that identifies a person.

    Pictures (PNG, JPEG, TIFF) are read as `read_picture` says.

    Args:
        path: A file.
        volume: Which volume of a file that holds several over time or contrast, from 0.

    Raises:
        DataError: The file cannot be used; names the file and the one cause.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in IMAGE_SUFFIXES:
        if volume not in (None, 0):
            raise DataError(f"{path}: is a picture, but volume {volume} is asked for")
        return Scan(voxels=read_picture(path).pixels)
    if suffix in (".nii", ".nii.gz"):
        from voxlex.data.nifti import read_nifti

        return read_nifti(path, volume=volume)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
    raise DataError(f"{path}: is no scan that is known by its suffix; expected one of {known}")


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write a scan in the format that the suffix of `path` names: whole or not at all, and without metadata.

    PNG holds `uint8` and `uint16`, TIFF every type but `int16`, JPEG `uint8` with loss. NIfTI holds volumes, in the
    order of axes, affine, shape and type of the file that they came from.

    Raises:
        DataError: The format is unknown or cannot hold the voxels, or the file cannot be written.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz"):
        from voxlex.data.nifti import write_nifti

        write_nifti(path, scan)
    elif suffix in IMAGE_SUFFIXES:
        write_picture(path, scan.voxels)
    else:
        raise DataError(f"{path}: unknown suffix; expected one of {', '.join((*IMAGE_SUFFIXES, '.nii', '.nii.gz'))}")
