"""A scan: voxels with what is needed to write them back, and nothing that identifies a person."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxlex.data.pictures import FORMATS, read_picture, write_picture

IMAGE_SUFFIXES = tuple(FORMATS)
"""File suffixes, in lower case, that `read_scan` and `write_scan` understand."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """Voxels and their place in space.

    Attributes:
        voxels: Grey values in the scan's own units and type, `(h, w)` for a picture, row 0 on top. `uint8`, `uint16`,
            `int32` or `float32`, always finite.
        spacing_mm: Distance between voxel centres along each axis of `voxels`, in mm; None where the file does not say.
        affine: `(4, 4)` map from voxel indices to scanner coordinates in mm; None for pictures.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...] | None = None
    affine: np.ndarray | None = None

    @property
    def bit_depth(self) -> int:
        """Bits that hold one voxel: 8, 16 or 32."""
        return 8 * self.voxels.dtype.itemsize


def read_scan(path: str | Path) -> Scan:
    """Read an image file as grey values; see `read_picture` for what becomes of colour, palettes and transparency.

    Raises:
        DataError: The file cannot be used; names the file and the one cause.
    """
    return Scan(voxels=read_picture(Path(path)).pixels)


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write a scan in the format that the suffix of `path` names: whole or not at all, and without metadata.

    PNG holds `uint8` and `uint16`, TIFF every type, JPEG `uint8` with loss.

    Raises:
        DataError: The format is unknown or cannot hold the voxels, or the file cannot be written.
    """
    write_picture(Path(path), scan.voxels)
