"""Versions of a scan that differ in a region: written as files, with their mean, their deviation and a sheet of all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped

from voxlex.images.intensity import IntensityMap
from voxlex.images.region import Region, with_values
from voxlex.pages.pictures import sample_sheet
from voxlex.pages.region_view import RegionView
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan
from voxlex.workflows.outputs import image_suffix, printable

SHEET = "inpainted.png"
DRAW = "draw"
_FLAT = 1e-6  # of the range of grey values: draws that differ by less are shown as equal


def write_versions(
    folder: Path, scan: Scan, *, region: Region, values: Shaped[np.ndarray, "n k"], intensity: IntensityMap
) -> None:
    """Write `draw-0000` and so on, their `mean` and `deviation`, and the sheet `inpainted.png`.

    Volumes become NIfTI files on the scan's own grid, the deviation in its units and in floats. Pictures become PNG
    files of the scan's own pixels, the deviation brightest where it is largest.

    Args:
        folder: Where to write.
        scan: As its file holds it.
        region: Where the versions differ, `k` pixels or voxels of the scan's grid.
        values: Grey values of the region in each version.
        intensity: From grey values to [0, 1].

    Raises:
        DataError: A file cannot be written.
    """
    view = RegionView(region, scan.spacing_mm)
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
    _write(folder / "mean", mean, intensity)
    _write_deviation(folder / "deviation", deviation, scan=scan, scale=scale)
    for number, drawn in enumerate(values):
        version = with_values(scan, region, drawn)
        shown[f"{DRAW} {number}"] = view(version.voxels, intensity)
        _write(folder / f"{DRAW}-{number:04d}", version, intensity)
    sample_sheet(folder / SHEET, torch.stack(list(shown.values())), captions=list(shown))


def _write(path: Path, scan: Scan, intensity: IntensityMap) -> None:
    """Write a volume as it is, and a picture in grey values that PNG can hold."""
    if not scan.is_volume and scan.voxels.dtype.name not in ("uint8", "uint16"):
        scan = replace(scan, voxels=printable(intensity).from_unit(intensity.to_unit(scan.voxels)))
    write_scan(_with_suffix(path, scan), scan)


def _write_deviation(path: Path, deviation: np.ndarray, *, scan: Scan, scale: IntensityMap) -> None:
    if not scan.is_volume:
        written = Scan(voxels=np.rint(255 * scale.to_unit(deviation)).astype(np.uint8))
    else:
        floats = scan.stored and replace(scan.stored, dtype=deviation.dtype, slope=1.0, intercept=0.0)
        written = replace(scan, voxels=deviation, stored=floats)
    write_scan(_with_suffix(path, scan), written)


def _with_suffix(path: Path, scan: Scan) -> Path:
    return path.with_name(path.name + image_suffix(scan.voxels.ndim))
