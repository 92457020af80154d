"""Where results go: a folder of images, named after the images they were made from."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from voxlex.errors import DataError
from voxlex.images.cube import write_cube
from voxlex.images.intensity import IntensityMap
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan
from voxlex.scans.suffixes import IMAGE_SUFFIXES, VOLUME_SUFFIXES, suffix_of


def check_output_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for results before the work is done; nothing is made.

    Raises:
        DataError: If it is a file, or holds something and is not to be overwritten.
    """
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file, expected a folder for the results")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise DataError(f"{path}: holds something already; choose another folder, or write into it with --overwrite")


def output_folder(path: Path, *, overwrite: bool) -> Path:
    """Return a folder for results, made if need be.

    Raises:
        DataError: If it holds something and is not to be overwritten, or cannot be made.
    """
    check_output_folder(path, overwrite=overwrite)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise DataError(f"{path}: cannot be made: {cause.strerror}") from cause
    return path


def remove_numbered(folder: Path, name: str, *, start: int, suffix: str, spared: Sequence[Path] = ()) -> None:
    """Remove what an earlier call with more results left: NAME-0012 and so on, lest they pass for this call's.

    Args:
        folder: Of the results.
        name: What stands before the numbers.
        start: The first number to remove; those below it have been written anew.
        suffix: What stands after them.
        spared: Files that this call has read, whatever their names.

    Raises:
        DataError: If a file cannot be removed.
    """
    numbered = re.compile(rf"{re.escape(name)}-(\d{{4,}}){re.escape(suffix)}")
    for path in sorted(folder.iterdir()):
        found = numbered.fullmatch(path.name)
        further = found is not None and int(found[1]) >= start and path.is_file()
        if further and not any(path.samefile(read) for read in spared):
            try:
                path.unlink()
            except OSError as cause:
                raise DataError(f"{path}: is of an earlier call and cannot be removed: {cause.strerror}") from cause


def check_apart(source: str, out: Path) -> None:
    """Refuse to write over the scans that are read: results have their names.

    Raises:
        DataError: If `out` is the folder of the source, or that which the scan or table lies in.
    """
    place = Path(source).resolve()
    if place.exists() and out.resolve() == (place if place.is_dir() else place.parent):
        raise DataError(f"{out}: holds the scans themselves, which results would replace; choose another folder")


def relative_names(paths: Sequence[str]) -> list[str]:
    """Return each of some different paths without its suffix; with it, where two files differ in nothing else."""
    stems = [_stem(path) for path in paths]
    times = Counter(stems)
    return [stem if times[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]


def image_suffix(spatial_dims: int) -> str:
    """Return the suffix of the files that `write_image` writes."""
    return ".png" if spatial_dims == 2 else ".nii.gz"


def write_image(path: Path, image: Tensor, intensity: IntensityMap, *, spacing_mm: float | None = None) -> None:
    """Write an image `(1, *space)` in [0, 1] at the model's size: a picture in grey values, or NIfTI for a volume.

    Args:
        path: Ends in `image_suffix`.
        image: Of one channel.
        intensity: The map back to its own grey values; for a picture see `printable`.
        spacing_mm: Distance between the voxels of a volume.
    """
    if image.ndim == 4:
        write_cube(path, intensity.from_unit(image[0].numpy()), spacing_mm=spacing_mm or 1.0)
    else:
        write_scan(path, Scan(voxels=printable(intensity).from_unit(image[0].numpy())))


def printable(intensity: IntensityMap) -> IntensityMap:
    """Return the map to grey values that PNG can hold: the image's own, or, where it cannot, 16 bits over its range."""
    return intensity if intensity.dtype.name in ("uint8", "uint16") else IntensityMap(low=0, high=65535, bit_depth=16)


def _stem(path: str) -> str:
    suffix = suffix_of(path)
    return path[: -len(suffix)] if suffix in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES) else path
