"""Find the scans below a folder by their names. Only a few DICOM files are opened."""

import os
from contextlib import suppress
from pathlib import Path

from voxlex.errors import DataError
from voxlex.scans.suffixes import DICOM_SUFFIXES, IMAGE_SUFFIXES, VOLUME_SUFFIXES, folder_of_series, is_dicom

_BY_SUFFIX = tuple(suffix for suffix in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES) if suffix not in DICOM_SUFFIXES)


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, sorted by name, without searching its subfolders."""
    files, _ = _entries(str(folder), set())
    return [folder / name for name in files if is_dicom(folder / name)]


def files_of_scan(place: Path) -> list[Path]:
    """Return the files that a scan from `find_scans` is read from: for a series, all DICOM files of its folder."""
    folder = place if place.is_dir() else folder_of_series(place)
    return [place] if folder is None else dicom_files(folder)


def find_scans(folder: str | Path) -> list[str]:
    """List the scans below a folder: picture files, volume files, and DICOM series.

    Hidden files and folders are left out, and so are files with other suffixes. Links to folders are followed once.

    A folder of DICOM files counts as one scan if it holds one series of slices, and several series in it are called
    "folder/series-3" and so on, by their numbers. Files that are scans of their own, such as X-rays and multi-frame
    files, stand for themselves. Localisers and files without an image are left out. Whether a series is complete is
    checked when it is read.

    Returns:
        Paths relative to `folder`, with forward slashes, sorted; "." for `folder` itself.

    Raises:
        DataError: If `folder` is missing, is not a folder, or cannot be listed.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of scans, got a file")
    found: list[str] = []
    pending = [(str(folder), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        place, prefix = pending.pop()
        files, folders = _entries(place, seen)
        pending += [(path, f"{prefix}{name}/") for name, path in folders]
        known = [name for name in files if name.lower().endswith(_BY_SUFFIX)]
        others = set(files) - set(known)
        dicom = [name for name in files if name in others and is_dicom(Path(place, name))]
        found += [prefix + name for name in known]
        found += [f"{prefix}{name}" if name else prefix.rstrip("/") or "." for name in _dicom_scans(place, dicom)]
    return sorted(found)


def list_scans(folder: Path) -> list[str]:
    """List the scans below a folder like `find_scans`, and raise an error if there are none.

    Raises:
        DataError: If `folder` is missing, is not a folder, cannot be read, or does not hold a scan.
    """
    paths = find_scans(folder)
    if not paths:
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        raise DataError(f"{folder}: expected at least one scan, got none; looked for {known} in it and below")
    return paths


def _dicom_scans(folder: str, names: list[str]) -> list[str]:
    """Return the scans among the DICOM files of a folder: files, series, and "" for the folder's only series."""
    from voxlex.dicom.series import names_of_scans

    return names_of_scans([Path(folder, name) for name in names])[0] if names else []


def _entries(folder: str, seen: set[tuple[int, int]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the names of files, and the names and paths of subfolders; both are empty for a folder seen before."""
    try:
        # A link may lead to a folder above it. Device and inode identify folders that were seen before.
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
    with suppress(OSError):  # such as a link to itself, for which reading raises an error
        return entry.is_dir()
    return False
