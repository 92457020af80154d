"""Read NPY and NPZ files without unpickling, and write NPZ files."""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.errors import DataError, naming
from voxlex.files import atomic_file
from voxlex.scans.formats.content import check_memory, check_regular, kind_of
from voxlex.scans.grid import StoredGrid, check_spacing
from voxlex.scans.scan import InFile, Scan, choose_volume

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_REST = 1 << 20  # bytes behind an array that are looked at
_MEMBERS = 16  # more arrays than this in a file are another thing than a scan


def read_numpy(
    path: Path,
    *,
    volume: int | str | None = None,
    spacing_mm: Sequence[float] | None = None,
    max_gigabytes: float = 8.0,
) -> InFile:
    """Read an array with two axes as a picture `(h, w)`, or with three axes as a volume `(x, y, z)`.

    An NPZ file holds one array of any name, and optionally `spacing_mm` or `affine` `(4, 4)` beside it. Without an
    affine the axes are taken to be canonical: x to the subject's right, y to the front, z to the top.

    Args:
        path: A `.npy` or `.npz` file.
        volume: Only 0, because an array holds one volume.
        spacing_mm: Distance between voxels along each axis in mm, if the file does not contain it.
        max_gigabytes: Most memory that the arrays may take.

    Raises:
        DataError: If the file is damaged, too large or needs unpickling, does not hold exactly one array, or holds a
            volume of unknown spacing.
    """
    with naming(path):
        size = check_regular(path)
        if spacing_mm is not None:
            check_spacing(spacing_mm)
        try:
            arrays = _load(path, size, max_gigabytes=max_gigabytes)
            affine, spacing = arrays.pop("affine", None), arrays.pop("spacing_mm", None)
            if len(arrays) != 1:
                raise DataError(f"expected one array, besides spacing_mm and affine, got {len(arrays)}")
            (values,) = arrays.values()
            choose_volume(volume, count=1, shape=values.shape)
            return _in_file(values, affine=affine, spacing=spacing, given_mm=spacing_mm)
        except (DataError, MemoryError):
            raise
        except Exception as cause:  # a damaged file makes decoders raise nearly anything
            raise DataError("does not hold plain arrays of numbers, or is damaged or cut short") from cause


def write_npz(path: Path, scan: Scan) -> None:
    """Write canonical voxels as `voxels`, with `spacing_mm` and `affine` where they are known.

    Raises:
        DataError: If the file cannot be written.
    """
    arrays: dict[str, Any] = {"voxels": scan.voxels, "spacing_mm": scan.spacing_mm, "affine": scan.affine}
    known: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    content = io.BytesIO()
    np.savez_compressed(content, **known)
    with atomic_file(path, durable=False) as building:
        building.write_bytes(content.getbuffer())


def _load(path: Path, size: int, *, max_gigabytes: float) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        start = file.read(1024)
        file.seek(0)
        if start.startswith(_NPY):
            return {"voxels": _array(file, size, max_gigabytes=max_gigabytes)}
        if not start.startswith(_ZIP):
            kind = kind_of(start)
            if kind == "something else":
                raise ValueError("neither an array nor an archive of arrays")
            raise DataError(f"expected a NumPy file, got {kind}; it is damaged or cut short, or of another kind")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS:
                raise DataError(f"expected one array, besides spacing_mm and affine, got {len(members)}")
            check_memory(sum(member.file_size for member in members), max_gigabytes=max_gigabytes, packed=size)
            arrays = {}
            for member in members:
                with archive.open(member) as content:
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = _array(content, member.file_size, max_gigabytes=max_gigabytes)
            return arrays


def _array(file: Any, size: int, *, max_gigabytes: float) -> np.ndarray:
    """Read an array whose header does not claim more than there is."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    claimed = math.prod(shape) * dtype.itemsize
    check_memory(claimed, max_gigabytes=max_gigabytes)
    if claimed > size:
        raise DataError(f"is damaged or cut short: its header claims {claimed:,} bytes, and {size:,} are there")
    content = np.empty(claimed, np.uint8)
    view, done = memoryview(content.data), 0
    while done < claimed:
        piece = file.readinto(view[done : done + (1 << 20)])
        if not piece:
            raise ValueError("fewer numbers than the header claims")
        done += piece
    if size - claimed < _REST:
        file.read(_REST)  # a member's checksum is compared at its end
    return content.view(dtype).reshape(shape, order="F" if in_columns else "C")


def _in_file(
    values: np.ndarray,
    *,
    affine: np.ndarray | None,
    spacing: np.ndarray | None,
    given_mm: Sequence[float] | None,
) -> InFile:
    steps = None if spacing is None else tuple(float(step) for step in np.ravel(spacing))
    if steps is not None and not all(0 < step < np.inf for step in steps):
        raise DataError(f"expected spacing_mm above 0, got {steps}")
    if values.ndim == 2:
        return InFile(values=values, spacing_mm=steps if steps and len(steps) == 2 else None)
    if values.ndim != 3:
        raise DataError(f"expected an array of shape (h, w) or (x, y, z), got {values.shape}")
    unknown: tuple[str, ...] = ()
    if affine is None:
        if steps is None or len(steps) != 3:
            if given_mm is None:
                colour = "; if it is a picture in colour, save it as PNG" if values.shape[2] in (3, 4) else ""
                raise DataError(
                    "does not say how far apart its voxels are; give spacing_mm=(x, y, z), or --reading.spacing-mm "
                    f"X Y Z on the command line{colour}"
                )
            steps, unknown = check_spacing(given_mm), ("spacing",)
        unknown = (*unknown, "orientation")
        affine = np.diag([*steps, 1.0])
    if affine.shape != (4, 4):
        raise DataError(f"expected an affine of shape (4, 4), got {affine.shape}")
    stored = StoredGrid(
        shape=values.shape,
        affine=affine.astype(np.float64),
        dtype=values.dtype,
        space=2 if "orientation" in unknown else 1,
    )
    return InFile(values=values, stored=stored, unknown=unknown)
