"""Recognise scans by the suffixes of their names. Only files without a suffix are opened, to detect DICOM."""

import re
from contextlib import suppress
from pathlib import Path

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
"""Pillow's name of the format for each suffix."""

IMAGE_SUFFIXES = tuple(FORMATS)
"""Suffixes of picture files, in lower case."""

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Suffixes of DICOM files. Many DICOM files do not have a suffix, or have a number instead."""

NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".mgh", ".mgz")
PAIRED_SUFFIXES = (".img", ".img.gz")
"""Suffixes of the second file of a pair, which stands for the pair where it is named, and is not looked for."""
NRRD_SUFFIXES = (".nrrd", ".nhdr")
METAIMAGE_SUFFIXES = (".mha", ".mhd")
NUMPY_SUFFIXES = (".npy", ".npz")

VOLUME_SUFFIXES = (*NIBABEL_SUFFIXES, *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES, *NUMPY_SUFFIXES, *DICOM_SUFFIXES)
"""Suffixes of volume files, in lower case."""

_UNREAD = re.compile(
    r"\.(?:bmp|gif|webp|jp2|j2k|jxl|avif|heic|pgm|nii\.(?:bz2|xz|zst)|(?:mnc|brik|gipl|mif)(?:\.gz)?|par|vtk|h5|hdf5|"
    r"dcm\.gz|zip|7z|rar|tgz|tar(?:\.[a-z0-9]+)?)$",
    re.IGNORECASE,
)
_SERIES = re.compile(r"series-\d+(-(axial|coronal|sagittal)(-\d+)?)?")
_DOUBLE = (".nii.gz", ".hdr.gz", ".img.gz")


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a file name in lower case, where ".nii.gz" is one suffix."""
    path = Path(path)
    return next((suffix for suffix in _DOUBLE if path.name.lower().endswith(suffix)), path.suffix.lower())


def unread_suffix(name: str) -> str:
    """Return the suffix of a file that may hold scans, and is not read; "" for others."""
    found = _UNREAD.search(name)
    return found[0].lower() if found else ""


def without_suffix(path: str) -> str:
    """Return the path of a file without the suffix of a scan; another path stays as it is."""
    suffix = suffix_of(path)
    return path[: -len(suffix)] if suffix in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES, *PAIRED_SUFFIXES) else path


def folder_of_series(path: str | Path) -> Path | None:
    """Return the folder of a path such as "folder/series-3", which names one of the DICOM series in a folder.

    None for all other paths, and for files and folders that happen to be called so.
    """
    path = Path(path)
    if _SERIES.fullmatch(path.name) and not path.exists() and path.parent.is_dir():
        return path.parent
    return None


def is_volume(path: str | Path) -> bool:
    """Tell whether a path from `find_scans` is a volume file, a DICOM file, a folder or a series, and not a picture.

    A DICOM file may still contain a picture, such as an X-ray; see `Scan.is_volume`.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in (*VOLUME_SUFFIXES, *PAIRED_SUFFIXES) or path.is_dir():
        return True
    return suffix not in IMAGE_SUFFIXES and (folder_of_series(path) is not None or is_dicom(path))


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its suffix, or by its first bytes if the suffix is missing or a number."""
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        return True
    if (suffix and not suffix[1:].isdigit()) or path.name == "DICOMDIR":
        return False
    with suppress(OSError):
        if path.is_file():  # opening a pipe would wait for ever
            with path.open("rb") as file:
                return file.read(132)[128:] == b"DICM"
    return False
