"""Known lesions of scans: masks as files or in memory, or boxes in a text file."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from voxlex.errors import DataError, naming
from voxlex.images.origin import Origin
from voxlex.names import printable
from voxlex.scans.places import Place, held_by_name, scan_at
from voxlex.scans.suffixes import without_suffix

Lesions = Bool[np.ndarray, "*space"]

_SHIFT = 0.1  # of a voxel


class LesionFiles:
    """Finds the lesions of scans in a folder, by the names of the scans.

    The mask of `a/b.nii.gz` is called `a/b` in the folder, with the suffix of any format, and is 0 outside the lesion.
    Its boxes are lines of `a/b.txt`: a class, and the centre, the width and the height of a box, in shares of the width
    and the height of the picture from its top left corner, as YOLO writes them. A scan without a file has no lesion.

    Args:
        folder: The folder; or masks in memory, a dictionary by the names of their scans, as `held_by_name` takes it.
        boxes: Whether it holds boxes, and not masks.

    Raises:
        DataError: If it is not a folder, or holds nothing of that kind.
    """

    def __init__(self, folder: Path | Mapping[str, Any], *, boxes: bool = False) -> None:
        self._boxes = boxes
        self._files: dict[str, Place] = {}
        if not isinstance(folder, Path):
            self._files = {_stem(name): mask for name, mask in held_by_name(folder).items()}
            return
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
            raise DataError(f"{folder}: expected a folder of {'boxes' if boxes else 'masks'}, got {found}")
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        kept = [path for path in files if (path.suffix.lower() == ".txt") == boxes]
        self._files = {_stem(path.relative_to(folder).as_posix()): path for path in kept}
        if not self._files:
            raise DataError(f"{folder}: expected {'boxes, such as scan.txt' if boxes else 'masks'}, found none")

    def of(self, name: str, origin: Origin, shape: tuple[int, ...]) -> Lesions:
        """Return where a scan has lesions, on its own grid.

        Args:
            name: Path of the scan, relative to its source.
            origin: The origin of its images.
            shape: Shape of its grid: `(h, w)`, or `(x, y, z)` in canonical order.

        Raises:
            DataError: If the file cannot be read, or does not fit the scan.
        """
        place = self._files.get(_stem(name))
        if place is None:
            return np.zeros(shape, bool)
        if self._boxes and isinstance(place, Path):
            return self._in_boxes(place, shape)
        return self._in_mask(place, origin, shape)

    def check(self, scans: Iterable[tuple[str, Origin, tuple[int, ...]]]) -> None:
        """Read the file of each scan, so that one that does not fit is known before any work is done.

        Args:
            scans: Name, origin and shape of each scan, as in `of`.

        Raises:
            DataError: If a file cannot be read or does not fit, or no scan has a lesion.
        """
        if not sum(bool(self.of(*scan).any()) for scan in scans if _stem(scan[0]) in self._files):
            raise DataError("lesions: expected one in at least one scan, got none; files must be called like the scans")

    def _in_mask(self, place: Place, origin: Origin, shape: tuple[int, ...]) -> Lesions:
        mask = scan_at(place, labels=True)
        with naming(str(place)):
            if mask.voxels.shape != shape:
                raise DataError(f"expected a mask with the size of the scan, {shape}, got {mask.voxels.shape}")
            if mask.affine is not None and origin.stored is not None:
                affine = origin.grid.affine
                if np.abs(mask.affine - affine).max() > _SHIFT * np.linalg.norm(affine[:3, :3], axis=0).min():
                    raise DataError("expected a mask with the affine of the scan, got another one")
            return mask.voxels != 0

    def _in_boxes(self, path: Path, shape: tuple[int, ...]) -> Lesions:
        if len(shape) != 2:
            raise DataError(f"{path}: expected a mask for a volume, got boxes, which have two axes")
        inside = np.zeros(shape, bool)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                x, y, width, height = (float(word) for word in line.split()[1:])
            except ValueError:
                x = math.nan
            if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
                raise DataError(
                    f"{path}: line {number}: expected a class and four shares from 0 to 1, got {printable(line)[:80]!r}"
                )
            top, bottom = (round((y + side * height / 2) * shape[0]) for side in (-1, 1))
            left, right = (round((x + side * width / 2) * shape[1]) for side in (-1, 1))
            inside[max(top, 0) : bottom, max(left, 0) : right] = True
        return inside


def _stem(name: str) -> str:
    return name[:-4] if name.lower().endswith(".txt") else without_suffix(name)
