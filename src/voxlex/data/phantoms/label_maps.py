"""Volumes made up from label maps: each tissue in a grey value of its own, as for SynthSeg (Billot et al., 2107.09559).

Shapes are those of real brains and the contrast is random, so that what is tried on such volumes depends on anatomy.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from voxlex.errors import DataError
from voxlex.progress import Progress
from voxlex.scans.listing import find_scans
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan
from voxlex.scans.suffixes import is_volume

_LEFT_OF = dict(
    zip(
        (41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60),
        (2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 17, 18, 26, 28),
        strict=True,
    )
)
"""FreeSurfer's label of a structure on the left, by that on the right: both sides look alike."""

_MOST_LABELS = 256
_FULL_SCALE = 1000


def synthesise(labels: Scan, *, seed: int) -> Scan:
    """Make up a volume: random grey values for each label, blurred, shaded and with noise; 0 stays dark.

    Args:
        labels: A label map of whole numbers, where 0 is the background. With FreeSurfer's numbers, both sides of the
            head look alike; with others, they need not.
        seed: The same seed gives the same volume.

    Returns:
        A scan on the grid of the labels, `int16` from 0 to about 1,000.

    Raises:
        DataError: If it is not a volume, holds fractions, or has far more labels than a brain has structures.
    """
    # Seconds of import: paid only by who makes volumes up.
    import torchio

    found = np.unique(labels.voxels)
    if labels.affine is None:
        raise DataError("a label map is a volume, this is a picture")
    if len(found) > _MOST_LABELS or (found != found.round()).any() or not found.any():
        raise DataError(f"a label map holds 2 to {_MOST_LABELS} whole numbers, this has {len(found)} different values")
    tensor = torch.from_numpy(np.ascontiguousarray(labels.voxels, dtype=np.int32))[None]
    subject = torchio.Subject(labels=torchio.LabelMap(tensor=tensor, affine=labels.affine))
    make_up = torchio.Compose(
        [
            torchio.RemapLabels(_LEFT_OF),
            torchio.RandomLabelsToImage(label_key="labels", default_mean=(0.15, 0.9), default_std=(0.01, 0.04)),
            torchio.RandomBlur((0.3, 0.8)),
            torchio.RandomBiasField(0.3),
            torchio.RandomNoise(std=(0.005, 0.02)),
        ]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = make_up(subject)["image_from_labels"].data[0]
    head = torch.from_numpy(labels.voxels != 0)
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed)) * 0.02
    voxels = torch.where(head, image, noise).clamp(0, 1.5).mul(_FULL_SCALE).round().short()
    return replace(labels, voxels=voxels.numpy())


def write_synthesised(
    folder: str | Path, labels: str | Path, *, seed: int = 0, progress: Progress | None = None
) -> list[Path]:
    """Make up a volume for every label map below a folder, of the same name, and return their paths.

    Raises:
        DataError: If there is no label map, one cannot be used, or a file cannot be written. The message names the
            file.
    """
    labels, folder = Path(labels), Path(folder)
    names = [name for name in find_scans(labels) if is_volume(labels / name)]
    if not names:
        raise DataError(f"{labels}: holds no label maps")
    paths = []
    for number, name in enumerate(names):
        path = folder / f"{Path(name).name.partition('.')[0]}.nii.gz"
        try:
            write_scan(path, synthesise(read_scan(labels / name), seed=seed + number))
        except DataError as cause:
            raise DataError(f"{labels / name}: {cause}") from cause
        paths.append(path)
        if progress is not None:
            progress(number + 1, len(names))
    return paths
