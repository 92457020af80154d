"""Regions of scans: read them from a mask, find them in the image of a model, and give them new values."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Shaped

from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, naming
from voxlex.images.canvas import fit_to_canvas
from voxlex.images.cube import region_in_cube
from voxlex.images.origin import Origin
from voxlex.scans.places import Place, scan_at
from voxlex.scans.scan import Scan

Region = Bool[np.ndarray, "*space"]
"""An array with the shape of a scan's voxels, which is true in the region."""

_SHIFT = 0.1  # of a voxel; different programs write the affine of one grid with smaller differences than this


def read_region(place: Place, scan: Scan, reading: ReadingOptions | None = None) -> Region:
    """Read a mask of a scan, a file or an image in memory with the grid of the scan, which is 0 outside the region.

    The axes of the mask may be stored in another order than those of the scan. Only the positions of voxels matter.

    Raises:
        DataError: If the mask cannot be read, has another grid, or is empty.
    """
    mask = scan_at(place, reading, labels=True)
    with naming(str(place)):
        if mask.is_volume != scan.is_volume or mask.voxels.shape != scan.voxels.shape:
            raise DataError(f"expected a mask with the size of the scan, {_size(scan)}, got {_size(mask)}")
        _check_place(mask, scan)
        region = mask.voxels != 0
        if not region.any():
            raise DataError("expected a mask that is not 0 everywhere, got an empty one")
        return region


def region_in_image(region: Region, origin: Origin, *, size: int) -> Bool[np.ndarray, "*image"]:
    """Find the pixels of a canvas, or the voxels of a cube, from which a region of a scan is restored.

    Args:
        region: The region on the scan's own grid.
        origin: The origin of the image.
        size: Side of the canvas or of the cube.

    Raises:
        DataError: If the region reaches beyond the cube.
        ValueError: If the images are slices, each of which shows only a part of the region.
    """
    if origin.view == "picture":
        # The triangle filter reaches equally far in both directions, so the same pixels overlap with the region.
        return fit_to_canvas(region.astype(np.float32), size=size) > 0
    if origin.is_sliced:
        raise ValueError(f"origin: expected a picture or a whole volume, got {origin.view} slices")
    spacing_mm, centre = origin.placed_cube
    return region_in_cube(region, origin.grid.affine, size=size, spacing_mm=spacing_mm, centre=centre)


def with_values(scan: Scan, region: Region, values: Shaped[np.ndarray, " k"]) -> Scan:
    """Return a copy of a scan with new values in a region. Its type of numbers does not change.

    Args:
        scan: The scan.
        region: The region on the grid of the scan, with `k` voxels.
        values: Grey values of these voxels, in the order in which the region indexes them.
    """
    voxels = scan.voxels.copy()
    if voxels.dtype.kind in "ui":
        limits = np.iinfo(voxels.dtype)
        values = np.rint(values.astype(np.float64)).clip(limits.min, limits.max)
    voxels[region] = values
    return replace(scan, voxels=voxels)


def _check_place(mask: Scan, scan: Scan) -> None:
    """Check that the voxels of the mask and of the scan lie at the same positions."""
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
