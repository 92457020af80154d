"""Read DICOM files with one or several planes, and folders with one series."""

from collections import Counter
from pathlib import Path

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.formats.dicom_header import Header, NoImageError, header_of, open_dataset
from voxlex.scans.formats.dicom_pixels import display_window, grey_values
from voxlex.scans.formats.dicom_planes import stack_planes
from voxlex.scans.grid import StoredGrid
from voxlex.scans.scan import Scan, choose_volume


def read_dicom(path: Path, *, volume: int | str | None = None) -> Scan:
    """Read a DICOM file.

    Planes with a place in space become a volume, a single one a volume of one slice; a plane without, as in X-ray, a
    picture. Of several planes without a place, such as a film, `volume` chooses one.

    Raises:
        DataError: If the file cannot be used. The message names the file and the cause, and quotes nothing else from
            it.
    """
    try:
        dataset = open_dataset(path, pixels=True)
        header = header_of(dataset)
        window = display_window(dataset, header)
        if header.is_placed:
            stack = stack_planes(header.planes, rows=header.rows, columns=header.columns, volume=volume)
            return _scan(grey_values(dataset, header)[stack.order], stack.affine, header.modality, window)
        shape = (len(header.planes), header.rows, header.columns)
        chosen = choose_volume(volume, count=len(header.planes), shape=shape)
        spacing, pixels = header.planes[chosen].spacing_mm, grey_values(dataset, header)[chosen]
        return Scan(voxels=pixels, spacing_mm=spacing, modality=header.modality, window=window)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from None


def read_dicom_series(folder: Path, files: list[Path], *, volume: int | str | None = None) -> Scan:
    """Read the files of one series as a volume.

    Args:
        folder: The folder, for messages.
        files: The DICOM files in it.
        volume: Index of the volume, from 0, in a series with several volumes.

    Raises:
        DataError: If the files belong to several series, or do not make up an evenly spaced volume.
    """
    headers = _headers(files)
    if len(headers) == 1:
        return read_dicom(next(iter(headers)), volume=volume)
    try:
        _check_alike(list(headers.values()))
        rows, columns = next((header.rows, header.columns) for header in headers.values())
        planes = [header.planes[0] for header in headers.values()]
        stack = stack_planes(planes, rows=rows, columns=columns, volume=volume)
    except DataError as cause:
        raise DataError(f"{folder}: {cause}") from None
    chosen = [list(headers)[index] for index in stack.order]
    slices, windows = [], []
    for path in chosen:
        try:
            dataset = open_dataset(path, pixels=True)
            slices.append(grey_values(dataset, headers[path]))
            windows.append(display_window(dataset, headers[path]))
        except DataError as cause:
            raise DataError(f"{path}: {cause}") from None
    try:
        return _scan(np.concatenate(slices), stack.affine, headers[chosen[0]].modality, windows[len(windows) // 2])
    except DataError as cause:
        raise DataError(f"{folder}: {cause}") from None


def _headers(files: list[Path]) -> dict[Path, Header]:
    headers: dict[Path, Header] = {}
    for path in files:
        try:
            headers[path] = header_of(open_dataset(path, pixels=False))
        except NoImageError:  # such as a report beside the images
            continue
        except DataError as cause:
            raise DataError(f"{path}: {cause}") from None
    return headers


def _check_alike(headers: list[Header]) -> None:
    if not headers:
        raise DataError("expected DICOM files that hold images, got none")
    series = Counter(header.series for header in headers)
    if len(series) > 1:
        counts = " and ".join(str(count) for count in sorted(series.values(), reverse=True)[:5])
        more = " and more" if len(series) > 5 else ""
        raise DataError(
            f"holds {len(series)} DICOM series (of {counts}{more} files); move each into a folder of its own"
        )
    sizes = Counter((header.rows, header.columns) for header in headers)
    if len(sizes) > 1:
        found = " and ".join(f"{rows}×{columns}" for rows, columns in sorted(sizes)[:3])
        raise DataError(f"its slices differ in size: {found} pixels")
    several = sum(len(header.planes) > 1 for header in headers)
    if several:
        raise DataError(f"{several} of its {len(headers)} DICOM files hold several frames; read each file by itself")
    unplaced = sum(not header.is_placed for header in headers)
    if unplaced:
        raise DataError(
            f"{unplaced} of its {len(headers)} DICOM files do not say where their slice lies; read each file by itself"
        )


def _scan(values: np.ndarray, affine: np.ndarray, modality: str, window: tuple[float, float] | None) -> Scan:
    volume = values.transpose(2, 1, 0)  # column, row, plane
    stored = StoredGrid(shape=volume.shape, affine=affine, dtype=volume.dtype)
    return Scan.from_file(volume, stored, modality=modality, window=window)
