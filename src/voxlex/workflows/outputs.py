"""Where results go: a folder of images, named after the images they were made from."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
from torch import Tensor

from voxlex.data.cube import write_cube
from voxlex.data.intensity import IntensityMap
from voxlex.data.scans import Scan, write_scan
from voxlex.errors import DataError


def output_folder(path: Path, *, overwrite: bool) -> Path:
    """Return a folder for results, made if need be.

    Raises:
        DataError: If it holds something and is not to be overwritten, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file, expected a folder for the results")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise DataError(f"{path}: holds something already; choose another folder, or write into it with --overwrite")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise DataError(f"{path}: cannot be made: {cause.strerror}") from cause
    return path


def relative_names(paths: Sequence[str]) -> list[str]:
    """Return each path without its suffix; with it, where two files differ in nothing else."""
    stems = [str(PurePosixPath(path.removesuffix(".gz")).with_suffix("")) for path in paths]
    times = Counter(stems)
    return [stem if times[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]


def intensity_maps(table: pd.DataFrame) -> list[IntensityMap]:
    """Return the map back to its own grey values for each row of a table of images.

    PNG holds no floating-point numbers: images of those are written as 16 bits over their range.
    """
    columns = (table["intensity_low"], table["intensity_high"], table["bit_depth"])
    return [
        IntensityMap(low=float(low), high=float(high), bit_depth=int(bits))
        if bits <= 16
        else IntensityMap(0, 65535, 16)
        for low, high, bits in zip(*columns, strict=True)
    ]


def image_suffix(spatial_dims: int) -> str:
    """Return the suffix of the files that `write_image` writes."""
    return ".png" if spatial_dims == 2 else ".nii.gz"


def write_image(path: Path, image: Tensor, intensity: IntensityMap, *, spacing_mm: float | None = None) -> None:
    """Write an image `(1, *space)` in [0, 1] in its own grey values: PNG, or NIfTI for a volume.

    Args:
        path: Ends in `image_suffix`.
        image: Of one channel.
        intensity: The map back to its own grey values.
        spacing_mm: Distance between the voxels of a volume.
    """
    pixels = intensity.from_unit(image[0].numpy())
    if pixels.ndim == 3:
        write_cube(path, pixels, spacing_mm=spacing_mm or 1.0)
    else:
        write_scan(path, Scan(voxels=pixels))
