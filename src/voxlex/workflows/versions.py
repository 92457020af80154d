"""Write versions of a scan that differ in a region, with their mean, their deviation and a sheet."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped

from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.images.region import Region, with_values
from voxlex.pages.pictures import sample_sheet
from voxlex.pages.region_view import RegionView
from voxlex.scans.scan import Scan
from voxlex.workflows.results import ResultWriter

SHEET = "inpainted.png"
DRAW = "draw"
_EIGHT_BITS = IntensityMap(low=0, high=255, bit_depth=8)
_FLAT = 1e-6  # share of the range of grey values; smaller differences between draws are shown as 0


def write_versions(
    folder: Path, scan: Scan, *, region: Region, values: Shaped[np.ndarray, "n k"], origin: Origin
) -> None:
    """Write `draw-0000` and so on, their `mean` and `deviation`, and the sheet `inpainted.png`.

    Volumes are written as NIfTI on the scan's own grid, with the deviation as floats in the scan's units. Pictures are
    written as PNG with the scan's own pixels, with a deviation that is brightest where it is largest.

    Args:
        folder: Folder for the files.
        scan: The scan.
        region: The region in which the versions differ, with `k` pixels or voxels of the scan's grid.
        values: Grey values of the region in each of the `n` versions.
        origin: The scan without its voxels, as `fit_voxels` returns it.

    Raises:
        DataError: If a file cannot be written.
    """
    view, results, intensity = RegionView(region, scan.spacing_mm), ResultWriter(folder), origin.intensity
    mean = with_values(scan, region, values.mean(axis=0, dtype=np.float64))
    deviation = np.zeros(scan.voxels.shape, np.float32)
    deviation[region] = values.std(axis=0, dtype=np.float64)
    scale = IntensityMap(low=0, high=max(float(deviation.max()), _FLAT * (intensity.high - intensity.low)), bit_depth=8)
    hidden = with_values(scan, region, np.full(values.shape[1], intensity.low))
    shown = {
        "original": view(scan.voxels, intensity),
        "known": view(hidden.voxels, intensity),
        "mean": view(mean.voxels, intensity),
        "deviation": view(deviation, scale),
    }
    _write(results, "mean", mean, intensity)
    if scan.is_volume:
        results.write("deviation", origin.place(deviation))
    else:
        results.write_unit("deviation", scale.to_unit(deviation), _EIGHT_BITS)
    for number, drawn in enumerate(values):
        version = with_values(scan, region, drawn)
        shown[f"{DRAW} {number}"] = view(version.voxels, intensity)
        _write(results, f"{DRAW}-{number:04d}", version, intensity)
    sample_sheet(folder / SHEET, torch.stack(list(shown.values())), captions=list(shown))


def _write(results: ResultWriter, name: str, scan: Scan, intensity: IntensityMap) -> None:
    """Write a scan unchanged, or with grey values that PNG can hold."""
    if scan.is_volume or scan.voxels.dtype.name in ("uint8", "uint16"):
        results.write(name, scan)
    else:
        results.write_unit(name, intensity.to_unit(scan.voxels), intensity)
