"""Volumes in the order of their file to canonical order (x to the right, y to the front, z to the top), and back."""

import numpy as np

from voxlex.errors import DataError
from voxlex.scans.scan import Scan, StoredGrid, as_voxels


def to_canonical(
    values: np.ndarray, stored: StoredGrid, *, modality: str = "", window: tuple[float, float] | None = None
) -> Scan:
    """Turn the grey values of a file to canonical order; only axes are exchanged and turned round, nothing resampled.

    Args:
        values: Grey values (slope and intercept applied) of the shape `stored.shape`.
        stored: The file's own grid.
        modality: See `Scan`.
        window: See `Scan`.

    Raises:
        DataError: The affine does not span a space, or the values cannot be voxels.
    """
    axes, signs = _axes(stored.affine)
    volume = values.reshape(_three(stored.shape))
    voxels = as_voxels(volume.transpose(axes)[*(slice(None, None, sign) for sign in signs)])
    if min(voxels.strides) < 0:  # PyTorch takes no array that runs backwards; the order in memory stays the file's
        voxels = voxels.copy(order="K")
    _, affine = canonical_grid(stored)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return Scan(
        voxels=voxels,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        affine=affine,
        stored=stored,
        modality=modality,
        window=window,
    )


def to_stored(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of a volume in the order of its file, and the affine that belongs to them.

    Without a stored grid these are the canonical ones.

    Raises:
        DataError: The scan is a picture, or its voxels do not fit its stored grid.
    """
    if not scan.is_volume or scan.affine is None:
        raise DataError("a picture has no place in space; write it as PNG or TIFF")
    if scan.stored is None:
        return scan.voxels, scan.affine
    axes, signs = _axes(scan.stored.affine)
    turned = scan.voxels[*(slice(None, None, sign) for sign in signs)].transpose(np.argsort(axes))
    if turned.shape != _three(scan.stored.shape):
        raise DataError(f"voxels of shape {turned.shape} do not fit the stored grid of {_three(scan.stored.shape)}")
    return turned.reshape(scan.stored.shape), scan.stored.affine


def canonical_grid(stored: StoredGrid) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape and affine of a volume in canonical order, of the grid of its file.

    Raises:
        DataError: The affine does not span a space.
    """
    axes, _ = _axes(stored.affine)
    shape = _three(stored.shape)
    x, y, z = (shape[axis] for axis in axes)
    return (x, y, z), _canonical_affine(stored.affine, shape)


def check_affine(affine: np.ndarray) -> None:
    """Raise a DataError unless the affine `(4, 4)` is finite and its axes span a space."""
    if not np.isfinite(affine).all():
        raise DataError("the affine holds values that are not finite")
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all():
        raise DataError("the affine is zero along an axis, so it gives the voxels no size")
    if abs(np.linalg.det(columns / lengths)) < 1e-3:
        raise DataError("the affine is singular: its axes do not span a space")


def _axes(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """For each canonical axis, the axis of the file that runs nearest to it, and whether it does so backwards."""
    from nibabel.orientations import io_orientation

    check_affine(affine)
    nearest = io_orientation(affine)
    axes = [int(axis) for axis in np.argsort(nearest[:, 0])]
    return axes, [int(nearest[axis, 1]) for axis in axes]


def _canonical_affine(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    axes, signs = _axes(affine)
    turn = np.zeros((4, 4))  # canonical indices to those of the file
    turn[3, 3] = 1
    for canonical, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        turn[axis, canonical] = sign
        turn[axis, 3] = 0 if sign > 0 else shape[axis] - 1
    return affine @ turn


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1, 1)[:3]
