"""Read DICOM files with one or several planes, and folders of series."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voxlex.dicom.codecs import check_memory
from voxlex.dicom.file import DicomFile, open_dicom
from voxlex.dicom.header import Header, Plane, header_of
from voxlex.dicom.pixels import display_window, grey_values
from voxlex.dicom.planes import Stack, check_directions, stack_planes
from voxlex.dicom.series import Slices, survey
from voxlex.dicom.volumes import Volume, choose, choose_frame, volumes_of
from voxlex.errors import DataError
from voxlex.scans.grid import StoredGrid, affine_from_lps
from voxlex.scans.scan import Scan, as_voxels

MAX_GIGABYTES = 8.0
"""Default of the largest scan to read, in gigabytes of memory."""


class _Choice(NamedTuple):
    """Which volume to read, what to assume where files do not say, and how much to read."""

    volume: int | str | None
    spacing_mm: Sequence[float] | None
    max_gigabytes: float


def read_dicom(
    path: Path,
    *,
    volume: int | str | None = None,
    series: int | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = MAX_GIGABYTES,
) -> Scan:
    """Read a DICOM file.

    Planes with a place in space become a volume, a single one a volume of one slice; a plane without, as in X-ray, a
    picture. Of several planes without a place, such as a film, `volume` chooses one.

    Args:
        path: The file.
        volume: Number of the volume from 0, or its name, in a file with several.
        series: Not used, since a file belongs to one series.
        spacing_mm: Distance between voxels along x, y and z, where the file does not contain it.
        max_gigabytes: Largest scan to read, in gigabytes of memory.

    Raises:
        DataError: If the file cannot be used. The message names the file and the cause, and quotes nothing else from
            it. This is a `NoImageError` if the file is sound and does not hold an image.
    """
    try:
        file = open_dicom(path)
        header = header_of(file)
        return _read(file, header, _Choice(volume, spacing_mm, max_gigabytes))
    except DataError as cause:
        raise type(cause)(f"{path}: {cause}") from cause.__cause__


def read_dicom_series(
    folder: Path,
    files: list[Path],
    *,
    name: str | None = None,
    volume: int | str | None = None,
    series: int | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = MAX_GIGABYTES,
) -> Scan:
    """Read slices of one series as a volume.

    Args:
        folder: The folder, for messages.
        files: The DICOM files in it.
        name: Name of the scan in a folder of several series, such as "series-3".
        volume: Number of the volume from 0, or its name, in a series with several.
        series: Number of the series, in a folder with several.
        spacing_mm: Distance between voxels along x, y and z, where the files do not contain it.
        max_gigabytes: Largest scan to read, in gigabytes of memory.

    Raises:
        DataError: If there are several series and none is chosen, or the files do not make up an evenly spaced volume.
    """
    choice = _Choice(volume, spacing_mm, max_gigabytes)
    try:
        study = survey(files)
        if not study.slices and len(study.alone) == 1 and name is None:
            return read_dicom(study.alone[0], volume=volume, spacing_mm=spacing_mm, max_gigabytes=max_gigabytes)
        chosen = study.choose(series=series, name=name)
        if chosen.problem is None:
            _check_alike(chosen.headers)
            picked, stack = _stacked([header.planes[0] for header in chosen.headers], chosen.headers[0], choice)
    except DataError as cause:
        message = str(cause) if str(cause).startswith(str(folder)) else f"{folder}: {cause}"
        raise type(cause)(message) from cause.__cause__
    if chosen.problem is not None:
        raise DataError(f"{chosen.problem.path}: {chosen.problem.reason}")
    return _read_slices(folder, chosen, [picked.indices[index] for index in stack.order], stack, choice)


def _read(file: DicomFile, header: Header, choice: _Choice) -> Scan:
    if header.is_placed:
        picked, stack = _stacked(header.planes, header, choice)
        planes = [picked.indices[index] for index in stack.order]
        window = display_window(file, header, planes[len(planes) // 2])
        values = grey_values(file, header, planes, max_gigabytes=choice.max_gigabytes)
        return _scan(values, stack, header, window)
    plane = choose_frame(header.frames, choice.volume, rows=header.rows, columns=header.columns)
    return Scan(
        voxels=as_voxels(grey_values(file, header, [plane], max_gigabytes=choice.max_gigabytes)[0]),
        spacing_mm=header.planes[plane].spacing_mm,
        modality=header.modality,
        window=display_window(file, header, plane),
        notes=header.notes,
    )


def _read_slices(folder: Path, chosen: Slices, order: list[int], stack: Stack, choice: _Choice) -> Scan:
    middle = order[len(order) // 2]
    slices: list[np.ndarray] = []
    window = None
    for index in order:
        path, header = chosen.files[index], chosen.headers[index]
        try:
            file = open_dicom(path)
            slices.append(as_voxels(grey_values(file, header, [0], max_gigabytes=choice.max_gigabytes)))
            if index == middle:
                window = display_window(file, header, 0)
        except DataError as cause:
            raise DataError(f"{path}: {cause}") from cause.__cause__
    notes = [note for index in order for note in chosen.headers[index].notes]
    if chosen.copies:
        notes.append(f"{chosen.copies} files that repeat others were left out")
    try:
        return _scan(np.concatenate(slices), stack, chosen.headers[middle], window, notes=tuple(dict.fromkeys(notes)))
    except DataError as cause:
        raise DataError(f"{folder}: {cause}") from None


def _stacked(planes: Sequence[Plane], header: Header, choice: _Choice) -> tuple[Volume, Stack]:
    """Choose one of the volumes that planes make up, and sort its planes."""
    check_directions(planes)
    picked = choose(volumes_of(planes), choice.volume, rows=header.rows, columns=header.columns)
    pixels = len(picked.indices) * header.rows * header.columns
    check_memory(pixels, choice.max_gigabytes, bytes_each=header.bytes_each)
    return picked, stack_planes([planes[index] for index in picked.indices], spacing_mm=choice.spacing_mm)


def _check_alike(headers: tuple[Header, ...]) -> None:
    sizes = Counter((header.rows, header.columns) for header in headers)
    if len(sizes) > 1:
        found = " and ".join(f"{rows}×{columns}" for rows, columns in sorted(sizes)[:3])
        raise DataError(f"its slices differ in size: {found} pixels")


def _scan(
    values: np.ndarray,
    stack: Stack,
    header: Header,
    window: tuple[float, float] | None,
    *,
    notes: tuple[str, ...] | None = None,
) -> Scan:
    volume = as_voxels(values).transpose(2, 1, 0)  # column, row, plane
    affine = affine_from_lps(stack.steps, stack.origin)
    stored = StoredGrid(shape=volume.shape, affine=affine, dtype=volume.dtype)
    scan = Scan.from_file(volume, stored, modality=header.modality, window=window)
    return replace(scan, notes=header.notes if notes is None else notes)
