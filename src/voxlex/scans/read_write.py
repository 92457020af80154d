"""Read and write scan files of any supported format."""

from collections.abc import Sequence
from pathlib import Path

from voxlex.config.options import Nan
from voxlex.errors import DataError, LeftOutError
from voxlex.scans.formats.pictures import read_picture, write_picture
from voxlex.scans.listing import dicom_files
from voxlex.scans.scan import Scan
from voxlex.scans.suffixes import (
    IMAGE_SUFFIXES,
    ITK_SUFFIXES,
    NIBABEL_SUFFIXES,
    NUMPY_SUFFIXES,
    VOLUME_SUFFIXES,
    folder_of_series,
    is_dicom,
    suffix_of,
)

WRITTEN_SUFFIXES = (*IMAGE_SUFFIXES, ".nii", ".nii.gz", ".nrrd", ".mha", ".npz")
"""Suffixes that `write_scan` understands."""


def read_scan(
    path: str | Path,
    *,
    volume: int | str | None = None,
    series: int | None = None,
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
        nan: What voxels that are not finite numbers mean: "error", or "background", which makes them dark and notes
            them in `Scan.missing`.
        spacing_mm: Distance between voxels along each axis in mm, for files that do not contain it.
        max_gigabytes: Largest scan to read, in gigabytes of memory. Larger ones are refused before they are read.

    Raises:
        DataError: If the scan cannot be used. The message names the file or folder and the cause.
    """
    path = Path(path)
    suffix = suffix_of(path)
    # Each of these libraries takes a third of a second to import, so it is imported only for its files.
    folder = path if path.is_dir() else folder_of_series(path)
    if folder is not None:
        from voxlex.scans.formats.dicom import read_dicom_series

        files = dicom_files(folder)
        if not files:
            raise DataError(f"{path}: expected a folder of one DICOM series, got a folder without a DICOM file")
        return read_dicom_series(
            path,
            files,
            name=None if folder == path else path.name,
            volume=volume,
            series=series,
            spacing_mm=spacing_mm,
            max_gigabytes=max_gigabytes,
        )
    if series not in (None, 0):
        raise LeftOutError(f"{path}: expected a folder of several DICOM series for series {series}, got a single file")
    if suffix in NUMPY_SUFFIXES:
        from voxlex.scans.formats.numpy_files import read_numpy

        return read_numpy(path, spacing_mm=spacing_mm)
    if suffix in NIBABEL_SUFFIXES:
        from voxlex.scans.formats.nifti import read_nifti

        return read_nifti(path, volume=volume)
    if suffix in ITK_SUFFIXES:
        from voxlex.scans.formats.itk_files import read_itk

        return read_itk(path, volume=volume)
    if suffix not in IMAGE_SUFFIXES and is_dicom(path):
        from voxlex.scans.formats.dicom import read_dicom

        return read_dicom(path, volume=volume, series=series, spacing_mm=spacing_mm, max_gigabytes=max_gigabytes)
    return _read_picture(path, volume=volume)


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
        write_picture(path, scan.voxels)
    else:
        raise DataError(f"{path}: expected one of the suffixes {', '.join(WRITTEN_SUFFIXES)}, got {suffix!r}")


def _read_picture(path: Path, *, volume: int | str | None) -> Scan:
    if suffix_of(path) not in IMAGE_SUFFIXES:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        raise DataError(
            f"{path}: expected a folder of DICOM files, or one of the suffixes {known}, got {path.suffix!r}"
        )
    if volume not in (None, 0):
        raise DataError(f"{path}: expected a file of several volumes, got a picture without a volume {volume}")
    return Scan(voxels=read_picture(path).pixels)
