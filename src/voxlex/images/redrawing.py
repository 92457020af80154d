"""A region of a scan to redraw: the image of a model that shows it, and the way back to the grid of the scan."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, naming
from voxlex.images.fit import fit_voxels
from voxlex.images.frame import Frame
from voxlex.images.origin import Origin
from voxlex.images.region import Region, read_region, region_in_image, with_values
from voxlex.images.restore import restore_grid
from voxlex.scans.held import as_held
from voxlex.scans.places import InMemory, Place, place_of, scan_at
from voxlex.scans.scan import Scan


@dataclass(frozen=True, eq=False, kw_only=True)
class Redrawing:
    """A scan, a region of it, and how a model sees both.

    Attributes:
        place: Where the scan is.
        scan: The scan.
        region: The region on the grid of the scan, with `k` pixels or voxels.
        origin: The scan without its voxels.
        seen: The image that a model sees, of `uint8` or `uint16`.
        seen_region: The pixels or voxels of this image from which the region is restored.
    """

    place: Place
    scan: Scan
    region: Region
    origin: Origin
    seen: Shaped[np.ndarray, "*image"]
    seen_region: Bool[np.ndarray, "*image"]

    @classmethod
    def of(cls, image: Any, mask: Any, frame: Frame, reading: ReadingOptions) -> "Redrawing":
        """Read a scan and a mask, which is 0 outside the region; see `place_of` for what they can be.

        Args:
            image: The scan: a picture for a frame of pictures, a volume for a frame of volumes.
            mask: The mask, with the same grid.
            frame: How the scan becomes an image.
            reading: What to read of the scan. The volume, the series and the plane do not apply to the mask.

        Raises:
            DataError: If a scan cannot be read, the scan is a picture and the frame is of volumes or vice versa, or the
                mask does not fit.
        """
        image, mask = place_of(image, name="image"), place_of(mask, name="mask")
        scan = scan_at(image, reading)
        with naming(str(image)):
            _check_kind(scan, frame)
            (seen,), origin, *_ = fit_voxels(scan, frame)
        region = read_region(mask, scan, replace(reading, volume=None, series=None, plane=None))
        with naming(str(mask)):
            seen_region = region_in_image(region, origin, size=frame.size)
        return cls(place=image, scan=scan, region=region, origin=origin, seen=seen, seen_region=seen_region)

    def values(self, draws: Float[np.ndarray, "n *image"]) -> Shaped[np.ndarray, "n k"]:
        """Return the grey values of the region in each of some draws, in [0, 1], of the image."""
        drawn = [restore_grid([draw], self.origin)[self.region] for draw in draws]
        return self.origin.intensity.from_unit(np.stack(drawn))

    def versions(self, draws: Float[np.ndarray, "n *image"]) -> list[Any]:
        """Return the scan with the region of each of some draws of the image: what was in memory, as the same kind."""
        scans = [with_values(self.scan, self.region, drawn) for drawn in self.values(draws)]
        return [as_held(scan, like=self.place.image) if isinstance(self.place, InMemory) else scan for scan in scans]


def _check_kind(scan: Scan, frame: Frame) -> None:
    if scan.voxels.ndim != frame.spatial_dims:
        kinds = {2: "picture", 3: "volume"}
        run = "images" if frame.spatial_dims == 2 else "volumes"
        raise DataError(f"expected a {kinds[frame.spatial_dims]} for a run of {run}, got a {kinds[scan.voxels.ndim]}")
