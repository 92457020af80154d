"""A region of a scan: read it from a mask, find it in the image that a model sees, and give it new values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from voxlex.errors import DataError, naming
from voxlex.images.canvas import fit_to_canvas
from voxlex.images.cube import region_in_cube
from voxlex.images.origin import Origin
from voxlex.scans.read_write import read_scan
from voxlex.scans.scan import Scan

Region = Bool[np.ndarray, "*space"]
"""An array of the shape of a scan's voxels, true in the region."""

_SHIFT = 0.1  # of a voxel: two programs that write down the places of one grid differ by less


def read_region(path: Path, scan: Scan) -> Region:
    """Read a mask of a scan: a file of any kind with the scan's pixels, or voxels in the same place; 0 is outside.

    The mask may be stored with its axes in another order than the scan; only the place of its voxels counts.

    Raises:
        DataError: If the mask cannot be read, has another grid, or is empty.
    """
    mask = read_scan(path)
    with naming(path):
        if mask.is_volume != scan.is_volume or mask.voxels.shape != scan.voxels.shape:
            raise DataError(f"expected a mask of the scan's size, {_size(scan)}, got {_size(mask)}")
        _check_place(mask, scan)
        region = mask.voxels != 0
        if not region.any():
            raise DataError("the mask is empty (0 everywhere): there is nothing to draw")
        return region


def region_in_image(region: Region, origin: Origin, *, size: int) -> Bool[np.ndarray, "*image"]:
    """Find the pixels of a canvas, or voxels of a cube, that decide what a region of a scan becomes on the way back.

    Args:
        region: On the scan's own grid.
        origin: What the image was made of.
        size: Side of the image, a picture's canvas or a cube.

    Raises:
        DataError: If the region reaches beyond the cube.
        ValueError: If `origin` is that of slices, each of which shows only a part of the region.
    """
    if origin.view == "picture":
        # Reducing and enlarging, a triangle reaches equally far: what has a share in it has the region in its share.
        return fit_to_canvas(region.astype(np.float32), size=size) > 0
    if origin.is_sliced:
        raise ValueError(f"expected a picture or a whole volume, got {origin.view} slices")
    spacing_mm, centre = origin.placed_cube
    return region_in_cube(region, origin.grid.affine, size=size, spacing_mm=spacing_mm, centre=centre)


def with_values(scan: Scan, region: Region, values: Shaped[np.ndarray, " k"]) -> Scan:
    """Return a scan that differs in a region only, in the scan's type of numbers.

    Args:
        scan: The scan.
        region: On its grid, `k` voxels.
        values: Grey values of those, in the order in which the region indexes them.
    """
    voxels = scan.voxels.copy()
    if voxels.dtype.kind in "ui":
        limits = np.iinfo(voxels.dtype)
        values = np.rint(values.astype(np.float64)).clip(limits.min, limits.max)
    voxels[region] = values
    return replace(scan, voxels=voxels)


def _check_place(mask: Scan, scan: Scan) -> None:
    """Refuse a volume whose voxels lie elsewhere."""
    if mask.affine is None or scan.affine is None:  # pictures
        return
    corners = np.indices((2, 2, 2)).reshape(3, -1) * (np.array(scan.voxels.shape) - 1)[:, None]
    apart_mm = np.linalg.norm((mask.affine - scan.affine) @ np.vstack([corners, np.ones(8)]), axis=0).max()
    if apart_mm > _SHIFT * np.linalg.norm(scan.affine[:3, :3], axis=0).min():
        differ = f"its voxels lie up to {apart_mm:.3g} mm from those of the scan"
        raise DataError(f"{differ}: expected the affine {_rows(scan)}, got {_rows(mask)}")


def _size(scan: Scan) -> str:
    sides = "×".join(map(str, scan.voxels.shape))
    return f"{sides} voxels (to the right, front and top)" if scan.is_volume else f"{sides} pixels"


def _rows(scan: Scan) -> str:
    affine = scan.affine if scan.stored is None else scan.stored.affine
    rows = [] if affine is None else [" ".join(f"{value:.6g}" for value in row) for row in affine[:3]]
    return f"[{'; '.join(rows)}]"
