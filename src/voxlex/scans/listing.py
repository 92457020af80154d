"""Find the scans below a folder by their names. Only a few DICOM files are opened."""

from pathlib import Path
from typing import NamedTuple

from voxlex.errors import DataError
from voxlex.scans.companions import companions
from voxlex.scans.suffixes import (
    DICOM_SUFFIXES,
    IMAGE_SUFFIXES,
    VOLUME_SUFFIXES,
    folder_of_series,
    is_dicom,
    unread_suffix,
)
from voxlex.scans.walking import PassedOver, files_in, walk

_BY_SUFFIX = tuple(suffix for suffix in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES) if suffix not in DICOM_SUFFIXES)


class Listing(NamedTuple):
    """The scans below a folder, sorted, and notes about what looks like scans and is passed over."""

    scans: list[str]
    notes: list[str]


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, sorted by name, without searching its subfolders."""
    return [folder / name for name in files_in(folder) if is_dicom(folder / name)]


def files_of_scan(place: Path) -> list[Path]:
    """Return the files that a scan from `find_scans` is read from: for a series, all DICOM files of its folder.

    The file that names the scan comes first, and the others may be the voxels of a header; see `companions`.
    """
    folder = place if place.is_dir() else folder_of_series(place)
    return [place, *companions(place)] if folder is None else dicom_files(folder)


def find_scans(folder: str | Path) -> list[str]:
    """List the scans below a folder: picture files, volume files, and DICOM series.

    Hidden files and folders are left out, and so are files with other suffixes, what is not a regular file, and, below
    `folder`, the results of the program. The notes of `list_scans` name those that may hold scans. Links to folders are
    followed once.

    A folder of DICOM files counts as one scan if it holds one series of slices, and several series in it are called
    "folder/series-3" and so on, by their numbers. Files that are scans of their own, such as X-rays and multi-frame
    files, stand for themselves. Localisers and files without an image are left out. Whether a series is complete is
    checked when it is read.

    Returns:
        Paths relative to `folder`, with forward slashes, sorted; "." for `folder` itself.

    Raises:
        DataError: If `folder` is missing, is not a folder, or cannot be listed.
    """
    return _listing(Path(folder)).scans


def list_scans(folder: Path) -> Listing:
    """List the scans below a folder like `find_scans`, with notes, and raise an error if there are none.

    Raises:
        DataError: If `folder` is missing, is not a folder, cannot be read, or does not hold a scan.
    """
    listing = _listing(folder)
    if not listing.scans:
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        message = f"{folder}: expected at least one scan, got none; looked for {known} in it and below"
        raise DataError("; ".join([message, *listing.notes]))
    return listing


def _listing(folder: Path) -> Listing:
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of scans, got a file")
    found: list[str] = []
    passed_over = PassedOver()
    for place, prefix, names in walk(folder, passed_over):
        known = [name for name in names if name.lower().endswith(_BY_SUFFIX)]
        others = set(names) - set(known)
        dicom = [name for name in names if name in others and is_dicom(Path(place, name))]
        found += [prefix + name for name in known]
        unread = (unread_suffix(name) for name in sorted(others.difference(dicom)))
        passed_over.unread += [suffix for suffix in unread if suffix]
        scans = _dicom_scans(place, prefix, dicom, passed_over)
        found += [f"{prefix}{name}" if name else prefix.rstrip("/") or "." for name in scans]
    return Listing(sorted(found), passed_over.notes())


def _dicom_scans(folder: str, prefix: str, names: list[str], passed_over: PassedOver) -> list[str]:
    """Return the scans among the DICOM files of a folder: files, series, and "" for the folder's only series."""
    from voxlex.dicom.series import names_of_scans

    if not names:
        return []
    scans, left = names_of_scans([Path(folder, name) for name in names])
    passed_over.without_image += [f"{prefix}{file.path.name} ({file.reason})" for file in left]
    return scans
