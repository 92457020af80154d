"""The scans that lie below a folder."""

from pathlib import Path

from voxlex.data.scans import IMAGE_SUFFIXES, VOLUME_SUFFIXES, find_scans
from voxlex.errors import DataError


def list_scans(folder: Path) -> list[str]:
    """List the scans of a folder and of all folders below it, of which there must be any; see `find_scans`.

    Raises:
        DataError: `folder` is missing, is not a folder, cannot be read or holds no scan.
    """
    paths = find_scans(folder)
    if not paths:
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        raise DataError(f"{folder}: no images found; looked for {known} in it and below")
    return paths
