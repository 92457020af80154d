"""Where a scan is: in a file, or in the memory of this process, where another library holds it.

Whatever takes scans, and not only files, takes a place, and reads it here.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, VoxlexError
from voxlex.names import printable
from voxlex.scans.held import as_samples, as_scan, files_of_held, is_flat, is_held
from voxlex.scans.listing import files_of_scan
from voxlex.scans.read_write import read_samples, read_scan
from voxlex.scans.samples import Samples
from voxlex.scans.scan import Scan
from voxlex.scans.suffixes import is_volume

_WHAT = "an image of nibabel, SimpleITK or torchio, or a voxlex.Scan"


@dataclass(frozen=True, eq=False)
class InMemory:
    """A scan in memory.

    Attributes:
        image: What `as_scan` takes.
        name: What it is called, as a file is by its path.
    """

    image: Any
    name: str

    def __str__(self) -> str:
        return self.name


Place = Path | InMemory
"""The file or the folder of a scan, or a scan in memory."""


def place_of(scan: Any, *, name: str) -> Place:
    """Return where a scan is.

    Args:
        scan: A path, or a scan in memory as `as_scan` takes it.
        name: What a scan in memory is called.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(scan, str | Path):
        return Path(scan)
    if isinstance(scan, InMemory):
        return scan
    if not is_held(scan):
        raise TypeError(f"{name}: expected a path, {_WHAT}, got {type(scan).__name__}")
    return InMemory(scan, name)


def held_by_name(images: Any) -> dict[str, InMemory]:
    """Return scans in memory by their names.

    Args:
        images: One scan, several, or several by their names. A name is like a path of a file in a folder, as
            "sub-01/t1.nii.gz", and says as much: the subject, for example. Scans without names are called "image-0" and
            so on.

    Raises:
        DataError: If there is none, or a name cannot be that of a file in a folder.
        TypeError: If something is not a scan in memory.
    """
    if is_held(images):
        images = [images]
    if not isinstance(images, Mapping):
        if not isinstance(images, Iterable) or isinstance(images, Iterator):  # which could be gone through once only
            raise TypeError(f"images: expected {_WHAT}, or a list of them, got {type(images).__name__}")
        given = list(images)
        width = len(str(max(len(given) - 1, 0)))
        images = {f"image-{number:0{width}d}": image for number, image in enumerate(given)}
    if not images:
        raise DataError("images: expected at least one scan, got none")
    for name, image in images.items():
        _check_name(name)
        if not is_held(image):
            raise TypeError(f"{name}: expected {_WHAT}, got {type(image).__name__}")
    return {name: InMemory(images[name], name) for name in sorted(images)}


def scan_at(place: Place, reading: ReadingOptions | None = None, *, labels: bool = False) -> Scan:
    """Read a scan wherever it is; see `read_scan` and `as_scan`.

    Args:
        place: Where it is.
        reading: What to read of a scan that leaves a choice.
        labels: Whether it is a mask, for which an image of labels may stand, too.

    Raises:
        DataError: If it cannot be used. The message begins with its path or its name.
    """
    reading = reading or ReadingOptions()
    if isinstance(place, Path):
        return read_scan(place, **asdict(reading))
    with _sound(place):
        return as_scan(place.image, reading, labels=labels, name=place.name)


def samples_at(place: Place, reading: ReadingOptions) -> Samples:
    """Return the numbers of a scan as they are stored; see `read_samples`.

    Raises:
        DataError: If they cannot be had exactly. The message begins with the path or the name of the scan.
    """
    if isinstance(place, Path):
        return read_samples(place, reading)
    with _sound(place):
        return as_samples(place.image, reading, name=place.name)


def is_volume_at(place: Place) -> bool:
    """Return whether a scan is a volume, as far as this is known before it is read; see `is_volume`."""
    return is_volume(place) if isinstance(place, Path) else not is_flat(place.image)


def files_at(place: Place) -> list[Path]:
    """Return the files that a scan is read from, which no result may replace."""
    return files_of_scan(place) if isinstance(place, Path) else files_of_held(place.image)


def fingerprint(place: InMemory, reading: ReadingOptions) -> str:
    """Return a hash of all that is read of a scan in memory; of one that cannot be used, why."""
    try:
        scan = scan_at(place, reading)
    except (DataError, MemoryError) as cause:
        return f"{type(cause).__name__}: {cause}"
    found = hashlib.blake2b(digest_size=16)
    for array in (scan.voxels, scan.missing, scan.affine):
        if array is not None:
            found.update(f"{array.shape} {array.dtype}".encode())
            found.update(np.ascontiguousarray(array).data)
    stored = None if scan.stored is None else {**asdict(scan.stored), "affine": scan.stored.affine.tolist()}
    found.update(repr((scan.spacing_mm, stored, scan.modality, scan.window, scan.unknown, scan.notes)).encode())
    return found.hexdigest()


@contextmanager
def _sound(place: InMemory) -> Iterator[None]:
    """Say of errors of other libraries, which may read a file only now, what `read_scan` says of them."""
    try:
        yield
    except (VoxlexError, MemoryError):
        raise
    except Exception as cause:
        raise DataError(f"{place}: is damaged or cut short, and cannot be read") from cause


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"images: expected texts as names, got {type(name).__name__}")
    parts = Path(name).parts
    if printable(name) != name or not parts or Path(name).is_absolute() or ".." in parts or name != "/".join(parts):
        raise DataError(f"images: expected names such as 'sub-01/t1', got {name!r}")
