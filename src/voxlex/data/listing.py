"""The scans that lie below a folder."""

import os
from pathlib import Path

from voxlex.data.scans import IMAGE_SUFFIXES
from voxlex.errors import DataError


def list_scans(folder: Path) -> list[str]:
    """List the scans of a folder and of all folders below it, as sorted relative paths with forward slashes.

    Hidden files and folders are left out, and so is everything without one of the suffixes in `IMAGE_SUFFIXES`. Linked
    folders are followed once. No image is opened.

    Raises:
        DataError: `folder` is missing, is not a folder, cannot be read or holds no image.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: a folder of images is expected here, not a file")
    paths = sorted(_image_paths(folder))
    if not paths:
        raise DataError(f"{folder}: no images found; looked for {', '.join(IMAGE_SUFFIXES)} in it and below")
    return paths


def _image_paths(source: Path) -> list[str]:
    paths: list[str] = []
    pending = [(str(source), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, prefix = pending.pop()
        try:
            # A link may lead back to a folder above it; device and inode tell that the folder is known.
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                entries = sorted(
                    (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name
                )
        except OSError as cause:
            raise DataError(f"{folder}: cannot be listed: {cause.strerror or cause}") from cause
        for entry in entries:
            if entry.is_dir():
                pending.append((entry.path, f"{prefix}{entry.name}/"))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                paths.append(prefix + entry.name)
    return paths
