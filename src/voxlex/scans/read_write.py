"""Read and write scan files of any supported format."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.config.options import Axis, Nan, ReadingOptions
from voxlex.errors import DataError, LeftOutError, VoxlexError, naming
from voxlex.scans.formats.content import check_regular
from voxlex.scans.formats.picture_samples import (
    read_picture_samples,
    samples_of_grey,
    suffix_for,
    write_picture_samples,
)
from voxlex.scans.formats.pictures import read_picture, write_picture
from voxlex.scans.grid import acquired_plane, check_spacing
from voxlex.scans.listing import dicom_files
from voxlex.scans.samples import Samples
from voxlex.scans.scan import InFile, Scan
from voxlex.scans.suffixes import (
    IMAGE_SUFFIXES,
    METAIMAGE_SUFFIXES,
    NIBABEL_SUFFIXES,
    NRRD_SUFFIXES,
    NUMPY_SUFFIXES,
    PAIRED_SUFFIXES,
    VOLUME_SUFFIXES,
    folder_of_series,
    is_dicom,
    suffix_of,
)

WRITTEN_SUFFIXES = (*IMAGE_SUFFIXES, ".nii", ".nii.gz", ".nrrd", ".mha", ".npz")
"""Suffixes that `write_scan` understands."""

_WITH_NUMBERS = (*NUMPY_SUFFIXES, *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES)
"""Suffixes of the files whose numbers `_numbers` reads."""


def read_scan(
    path: str | Path,
    *,
    volume: int | str | None = None,
    series: int | None = None,
    plane: Axis | None = None,
    nan: Nan = "error",
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> Scan:
    """Read a scan in canonical order, with grey values in their own units and without facts that identify a person.

    Args:
        path: A picture (PNG, JPEG, TIFF), a volume (NIfTI, Analyze, MGH, NRRD, MetaImage, NPY, NPZ), a DICOM file, or a
            folder of DICOM files, or one of the series in it ("folder/series-3").
        volume: The volume to read from a file with several over time or contrast: its number, from 0, or its name.
        series: The series to read from a folder with several DICOM series, by its number.
        plane: Refuse a volume that was acquired in another plane; see `acquired_plane`.
        nan: What voxels that are not finite numbers mean: "error", or "background", which makes them dark and notes
            them in `Scan.missing`, or "auto", which does so if NaN fills all corners of the scan. Commands use "auto".
        spacing_mm: Distance between voxels along each axis in mm, for files that do not contain it.
        max_gigabytes: Largest scan to read, in gigabytes of memory. Larger ones are refused before they are read.

    Raises:
        DataError: If the scan cannot be used. The message names the file or folder and the cause.
    """
    path = Path(path)
    reading = ReadingOptions(
        volume=volume,
        series=series,
        plane=plane,
        nan=nan,
        spacing_mm=None if spacing_mm is None else check_spacing(spacing_mm),
        max_gigabytes=max_gigabytes,
    )
    try:
        scan = _read(path, reading)
    except (VoxlexError, MemoryError):
        raise
    except Exception as cause:  # a damaged file makes libraries raise nearly anything
        raise DataError(f"{path}: is damaged or cut short, and cannot be read") from cause
    check_plane(path, scan, plane)
    return scan


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write a scan in the format of the suffix of `path`, atomically and without metadata.

    PNG stores pictures of `uint8` and `uint16`, TIFF also of `int32` and `float32`. JPEG stores `uint8` and is lossy.
    NIfTI, NRRD and MetaImage store volumes with the order of axes, the affine and the shape of the original file, and
    NIfTI also with its type of numbers. NPZ stores canonical voxels, spacing and affine.

    Raises:
        DataError: If the format is unknown or cannot hold the voxels, or the file cannot be written.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz"):
        from voxlex.scans.formats.nifti import write_nifti

        write_nifti(path, scan)
    elif suffix in (".nrrd", ".mha"):
        from voxlex.scans.formats.itk_files import write_itk

        write_itk(path, scan)
    elif suffix == ".npz":
        from voxlex.scans.formats.numpy_files import write_npz

        write_npz(path, scan)
    elif suffix in IMAGE_SUFFIXES:
        write_picture(path, scan.as_stored if suffix in (".tif", ".tiff") else scan.voxels)
    else:
        raise DataError(f"{path}: expected one of the suffixes {', '.join(WRITTEN_SUFFIXES)}, got {suffix!r}")


def read_samples(path: str | Path, reading: ReadingOptions) -> Samples:
    """Read the numbers of a scan as its file stores them, with what places them in space.

    All formats but DICOM give exactly the numbers of the file. Of DICOM, these are the grey values that `read_scan`
    gives, in the order of the file. Volumes get a NIfTI header that says where they are, unless they have one.

    Args:
        path: See `read_scan`.
        reading: What to read of files that leave a choice.

    Raises:
        DataError: If the scan cannot be used, or its numbers cannot be had exactly. The message names it.
    """
    path, suffix = Path(path), suffix_of(path)
    options: dict[str, Any] = {name: getattr(reading, name) for name in ("volume", "spacing_mm", "max_gigabytes")}
    try:
        dicom = path.is_dir() or folder_of_series(path) is not None or (suffix not in IMAGE_SUFFIXES and is_dicom(path))
        if not dicom and suffix in (*NIBABEL_SUFFIXES, *PAIRED_SUFFIXES):
            from voxlex.scans.formats.nifti import read_nifti_samples

            return read_nifti_samples(path, **options)
        if not dicom and suffix in IMAGE_SUFFIXES:
            return read_picture_samples(path)
        if not dicom and suffix in _WITH_NUMBERS:
            found = _numbers(path, suffix, options)
            with naming(path):
                return samples_in(found)
        scan = read_scan(path, **asdict(reading))
        with naming(path):
            return _samples_as_read(scan)
    except (VoxlexError, MemoryError):
        raise
    except Exception as cause:  # a damaged file makes libraries raise nearly anything
        raise DataError(f"{path}: is damaged or cut short, and cannot be read") from cause


def samples_in(found: InFile) -> Samples:
    """Return the numbers of a file as samples, with any that are not finite.

    Raises:
        DataError: If NIfTI or a picture cannot hold them.
    """
    if found.stored is None:
        pixels = found.scan(nan="background").voxels
        if pixels.dtype.kind == "f":
            raise DataError(
                "expected integers in a picture of this format, got others; save it as TIFF of 32-bit floats"
            )
        return samples_of_grey(pixels)
    from voxlex.scans.formats.nifti import samples_on

    kind = found.values.dtype
    if kind.kind not in "buif" or kind.itemsize > 8:
        raise DataError(f"expected integers or floats of up to 64 bits, got {kind.name}; save it as 64-bit floats")
    values = found.values.astype(np.float32) if kind.name == "float16" else found.values  # NIfTI has no float16
    return samples_on(values, found.stored)


def _samples_as_read(scan: Scan) -> Samples:
    """Return the grey values of a scan of a file as samples."""
    if scan.stored is None:
        return samples_of_grey(scan.voxels)
    from voxlex.scans.formats.nifti import samples_on

    return samples_on(scan.for_file()[0], scan.stored)


def write_samples(path: Path, samples: Samples) -> None:
    """Write samples into a file that holds them as they are: NIfTI, PNG or TIFF; see `suffix_of_samples`.

    Raises:
        DataError: If the format cannot hold them, or the file cannot be written.
    """
    if not samples.is_volume:
        write_picture_samples(path, samples)
        return
    from voxlex.scans.formats.nifti import write_nifti_samples

    write_nifti_samples(path, samples)


def suffix_of_samples(name: str, mode: str) -> str:
    """Return the suffix of a file that holds samples of a mode as they are, from the name of the file they are from.

    NIfTI files stay what they are, packed or not; other volumes become `.nii.gz`. PNG and TIFF stay what they are, and
    other pictures become PNG, or TIFF if PNG cannot hold them.
    """
    suffix = suffix_of(name)
    if not mode:
        return suffix if suffix == ".nii" else ".nii.gz"
    return suffix_for(mode, suffix)


def _read(path: Path, reading: ReadingOptions) -> Scan:
    suffix = suffix_of(path)
    options: dict[str, Any] = asdict(reading)
    series, nan, _ = options.pop("series"), options.pop("nan"), options.pop("plane")
    # Each of these libraries takes a third of a second to import, so it is imported only for its files.
    folder = path if path.is_dir() else folder_of_series(path)
    if folder is not None:
        from voxlex.scans.formats.dicom import read_dicom_series

        files = dicom_files(folder)
        if not files:
            raise DataError(f"{path}: expected a folder of one DICOM series, got a folder without a DICOM file")
        name = None if folder == path else path.name
        return read_dicom_series(path, files, name=name, series=series, **options)
    check_regular(path)
    if suffix not in IMAGE_SUFFIXES and is_dicom(path):
        from voxlex.scans.formats.dicom import read_dicom

        return read_dicom(path, series=series, **options)
    if series not in (None, 0):
        raise LeftOutError(f"{path}: expected a folder of several DICOM series for series {series}, got a single file")
    if suffix in NIBABEL_SUFFIXES or suffix in PAIRED_SUFFIXES:
        from voxlex.scans.formats.nifti import read_nifti

        return read_nifti(path, nan=nan, **options)
    if suffix in _WITH_NUMBERS:
        found = _numbers(path, suffix, options)
        with naming(path):
            return found.scan(nan=nan)
    return _read_picture(path, volume=reading.volume, nan=nan)


def _numbers(path: Path, suffix: str, options: Mapping[str, Any]) -> InFile:
    """Read the numbers of a NumPy, NRRD or MetaImage file."""
    if suffix in NUMPY_SUFFIXES:
        from voxlex.scans.formats.numpy_files import read_numpy

        return read_numpy(path, **options)
    if suffix in NRRD_SUFFIXES:
        from voxlex.scans.formats.nrrd import read_nrrd

        return read_nrrd(path, **options)
    from voxlex.scans.formats.metaimage import read_metaimage

    return read_metaimage(path, **options)


def check_plane(path: Path | str, scan: Scan, plane: Axis | None) -> None:
    """Refuse a volume that was acquired in another plane; see `acquired_plane`.

    Raises:
        LeftOutError: If it was. The message begins with `path`.
    """
    if plane is None or not scan.is_volume or scan.spacing_mm is None:
        return
    found = acquired_plane(scan.voxels.shape, scan.spacing_mm)
    if found not in (None, plane):
        raise LeftOutError(f"{path}: expected a volume acquired in the {plane} plane, got one in the {found} plane")


def _read_picture(path: Path, *, volume: int | str | None, nan: Nan) -> Scan:
    if suffix_of(path) not in IMAGE_SUFFIXES:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        raise DataError(
            f"{path}: expected a folder of DICOM files, or one of the suffixes {known}, got {path.suffix!r}"
        )
    check_picture(path, volume=volume, series=None)
    picture = read_picture(path, nan=nan)
    return Scan(voxels=picture.pixels, missing=picture.missing)


def check_picture(path: Path, *, volume: int | str | None, series: int | None) -> None:
    """Refuse to choose a volume or a series of a picture.

    Raises:
        DataError: If one is chosen that is not the only one.
    """
    if volume not in (None, 0):
        raise DataError(f"{path}: expected a file of several volumes, got a picture without a volume {volume}")
    if series not in (None, 0):
        raise LeftOutError(f"{path}: expected a folder of several DICOM series for series {series}, got a single file")
