"""Read NPY and NPZ files without unpickling, and write NPZ files."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.scans.grid import StoredGrid
from voxlex.scans.scan import Scan, as_voxels


def read_numpy(path: Path, *, spacing_mm: tuple[float, float, float] | None = None) -> Scan:
    """Read an array with two axes as a picture `(h, w)`, or with three axes as a volume `(x, y, z)`.

    An NPZ file holds one array of any name, and optionally `spacing_mm` or `affine` `(4, 4)` beside it. Without an
    affine the axes are taken to be canonical: x to the subject's right, y to the front, z to the top.

    Args:
        path: A `.npy` or `.npz` file.
        spacing_mm: Distance between voxels along each axis in mm, if the file does not contain it.

    Raises:
        DataError: If the file is damaged or needs unpickling, does not hold exactly one array, or holds a volume of
            unknown spacing.
    """
    try:
        arrays = _load(path)
        affine, spacing = arrays.pop("affine", None), arrays.pop("spacing_mm", spacing_mm)
        if len(arrays) != 1:
            raise DataError(f"expected one array, besides spacing_mm and affine, got {len(arrays)}")
        (values,) = arrays.values()
        return _scan(values, affine=affine, spacing_mm=spacing)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: no such file") from cause
    except Exception as cause:  # a damaged file makes decoders raise nearly anything
        raise DataError(f"{path}: does not hold plain arrays of numbers, or is damaged or cut short") from cause


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


def _load(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        return {"voxels": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}


def _scan(values: np.ndarray, *, affine: np.ndarray | None, spacing_mm: np.ndarray | tuple[float, ...] | None) -> Scan:
    spacing = None if spacing_mm is None else tuple(float(step) for step in np.ravel(spacing_mm))
    if spacing is not None and not all(0 < step < np.inf for step in spacing):
        raise DataError(f"expected spacing_mm above 0, got {spacing}")
    if values.ndim == 2:
        return Scan(voxels=as_voxels(values), spacing_mm=spacing if spacing and len(spacing) == 2 else None)
    if values.ndim != 3:
        raise DataError(f"expected an array of shape (h, w) or (x, y, z), got {values.shape}")
    if affine is None:
        if spacing is None or len(spacing) != 3:
            raise DataError("does not say how far apart its voxels are; give spacing_mm=(x, y, z)")
        affine = np.diag([*spacing, 1.0])
    if affine.shape != (4, 4):
        raise DataError(f"expected an affine of shape (4, 4), got {affine.shape}")
    return Scan.from_file(values, StoredGrid(shape=values.shape, affine=affine.astype(np.float64), dtype=values.dtype))
