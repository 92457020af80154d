"""Find the scans below a folder by their names. Only a few DICOM files are opened."""

from pathlib import Path
from typing import NamedTuple

from voxlex.errors import DataError
from voxlex.scans.suffixes import DICOM_SUFFIXES, IMAGE_SUFFIXES, VOLUME_SUFFIXES, is_dicom
from voxlex.scans.walking import PassedOver, files_in, walk

_BY_SUFFIX = tuple(suffix for suffix in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES) if suffix not in DICOM_SUFFIXES)


class Listing(NamedTuple):
    """The scans below a folder, sorted, and notes about what looks like scans and is passed over."""

    scans: list[str]
    notes: list[str]


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, sorted by name, without searching its subfolders."""
    return [folder / name for name in files_in(folder) if is_dicom(folder / name)]


def find_scans(folder: str | Path) -> list[str]:
    """List the scans below a folder: picture files, volume files, and folders with one DICOM series.

    Hidden files and folders are left out, and so are files with other suffixes, what is not a regular file, and, below
    `folder`, the results of the program. Links to folders are followed once. A folder with several DICOM files counts
    as one scan, unless each file is a scan of its own: a separate series, an X-ray or a multi-frame file. Whether a
    folder contains a complete series is checked when it is read.

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
        found += [f"{prefix}{name}" if name else prefix.rstrip("/") or "." for name in _dicom_scans(place, dicom)]
    return Listing(sorted(found), passed_over.notes())


def _dicom_scans(folder: str, names: list[str]) -> list[str]:
    """Return the DICOM files that are scans of their own, or [""] if files of the folder are slices of a series."""
    from voxlex.scans.formats.dicom_header import series_of

    if len(names) < 2:
        return names
    sampled = {series_of(Path(folder, name)) for name in (names[0], names[len(names) // 2], names[-1])}
    if len(sampled) == 1 and None not in sampled:  # three files are usually enough
        return [""]
    series = [series_of(Path(folder, name)) for name in names]
    images = [found for found in series if found is not None]
    if len(images) > len(set(images)):
        return [""]
    return [name for name, found in zip(names, series, strict=True) if found is not None]
