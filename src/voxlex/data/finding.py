"""The scans below a folder, found by name: no picture and no volume is opened."""

import os
from contextlib import suppress
from pathlib import Path

from voxlex.data.pictures import FORMATS
from voxlex.errors import DataError

IMAGE_SUFFIXES = tuple(FORMATS)
"""Suffixes of picture files, in lower case."""

VOLUME_SUFFIXES = (".nii", ".nii.gz")
"""Suffixes of volume files, in lower case."""


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a file's name in lower case, ".nii.gz" as one."""
    path = Path(path)
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def is_volume(path: str | Path) -> bool:
    """Whether a scan is a volume by its name: a file with one of `VOLUME_SUFFIXES`, or a folder."""
    return suffix_of(path) in VOLUME_SUFFIXES or Path(path).is_dir()


def find_scans(folder: str | Path) -> list[str]:
    """List the scans of a folder and of all folders below it.

    Hidden files and folders are left out, and so is everything that is no scan by its name. Linked folders are followed
    once.

    Returns:
        Paths relative to `folder`, with forward slashes, sorted.

    Raises:
        DataError: `folder` is missing, is no folder, or cannot be listed.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: a folder of scans is expected here, not a file")
    found: list[str] = []
    pending = [(str(folder), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        place, prefix = pending.pop()
        files, folders = _entries(place, seen)
        pending += [(path, f"{prefix}{name}/") for name, path in folders]
        found += [prefix + name for name in files if name.lower().endswith((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))]
    return sorted(found)


def _entries(folder: str, seen: set[tuple[int, int]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Names of the files of a folder, and names and paths of its folders; nothing of a folder seen before."""
    try:
        # A link may lead back to a folder above it; device and inode tell that the folder is known.
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            return [], []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as cause:
        raise DataError(f"{folder}: cannot be listed: {cause.strerror or cause}") from cause
    folders = [entry for entry in entries if _is_folder(entry)]
    names = {entry.name for entry in folders}
    return [entry.name for entry in entries if entry.name not in names], [(entry.name, entry.path) for entry in folders]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a link to itself, say: then reading it will tell
        return entry.is_dir()
    return False
