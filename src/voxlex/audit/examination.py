"""The examination of one image in an audit."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from voxlex.audit.captions import captioned
from voxlex.audit.unknown import OF_PICTURES
from voxlex.config.options import ReadingOptions
from voxlex.duplicates.thumbnails import thumbnail
from voxlex.errors import DataError
from voxlex.images.canvas import fit_to_canvas
from voxlex.images.intensity import ConstantImageError, IntensityMap
from voxlex.images.stack import AXES, displayed, seen_along
from voxlex.scans.places import Place, scan_at

BINS = 64
"""Number of bins from black to white in which grey values are counted."""

CANVAS = 128
"""Side in pixels of the canvas on which images are compared and shown."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Examination:
    """Findings about an image, or about the middle axial slice of a volume, or its only slice.

    Attributes:
        problem: Why the image cannot be used; "" if it can be used.
        constant: Whether the problem is that it has a single grey value.
        height: Height in pixels; 0 if it cannot be read.
        width: Width in pixels; 0 if it cannot be read.
        captioned: Whether text seems to be burnt in.
        content: Hash of the shape, the type and the grey values of the whole scan.
        histogram: `(64,)` counts of grey values from black to white.
        canvas: The picture that the audit shows, `(128, 128)` of `uint8`.
        thumbnail: The small picture that is compared with other images, `(32, 34)`.
        unknown: What the file does not say of the scan, such as "spacing".
    """

    problem: str = ""
    constant: bool = False
    height: int = 0
    width: int = 0
    captioned: bool = False
    content: bytes = b""
    histogram: np.ndarray | None = None
    canvas: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    unknown: tuple[str, ...] = ()


def examine_scan(place: Place, reading: ReadingOptions | None = None) -> Examination:
    """Read a scan and examine it. Problems are noted in the result and do not raise errors."""
    try:
        scan = scan_at(place, reading)
        intensity = IntensityMap.of(scan)
    except ConstantImageError as cause:
        height, width = _plane(scan.voxels).shape
        return Examination(problem=str(cause), constant=True, height=height, width=width)
    except DataError as cause:
        return Examination(problem=str(cause).removeprefix(f"{place}: "))
    content = hashlib.blake2b(f"{scan.voxels.shape} {scan.voxels.dtype}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(scan.voxels).data)
    plane = _plane(scan.voxels)
    if plane.dtype != np.uint8 or intensity.bit_depth != 8:
        plane = np.rint(intensity.to_unit(plane) * 255).astype(np.uint8)
    unknown = tuple(getattr(scan, "unknown", ())) if scan.is_volume else OF_PICTURES
    return replace(examine_pixels(plane, content=content.digest()), unknown=unknown)


def examine_pixels(pixels: np.ndarray, *, content: bytes = b"") -> Examination:
    """Examine an image `(h, w)` of `uint8`.

    Args:
        pixels: The image; 0 is black and 255 is white.
        content: Hash of the scan; by default, a hash of the pixels.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    canvas = fit_to_canvas(pixels, size=CANVAS)
    return Examination(
        height=pixels.shape[0],
        width=pixels.shape[1],
        captioned=captioned(pixels),
        content=content or hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(),
        histogram=counts.reshape(BINS, -1).sum(axis=1),
        canvas=canvas,
        thumbnail=thumbnail(canvas).astype(np.float16),
    )


def _plane(voxels: np.ndarray) -> np.ndarray:
    if voxels.ndim == 2:
        return voxels
    across = AXES.index(seen_along(voxels.shape, otherwise="axial"))
    return np.take(displayed(voxels), voxels.shape[across] // 2, axis=2 - across)
