"""Draw new images from a vocabulary's prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from voxlex.images.intensity import IntensityMap
from voxlex.outputs import SUFFIXES, check_folder
from voxlex.pages.pictures import sample_sheet
from voxlex.priors.draw import SamplingOptions
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.outputs import ResultWriter, output_folder, remove_numbered

SHEET = "samples.png"
SAMPLE = "sample"
SHOWN = 64
_EIGHT_BITS = IntensityMap(low=0, high=255, bit_depth=8)


def sample(
    vocabulary: Vocabulary,
    *,
    count: int,
    out: Path,
    condition: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    phases: Phases = silent,
    **options: Unpack[SamplingOptions],
) -> None:
    """Write new images as `sample-0000.png` and so on, and all of them together as `samples.png`.

    New volumes are NIfTI files, `sample-0000.nii.gz`, of the vocabulary's spacing; the sheet shows their middle slices.

    Args:
        vocabulary: With a prior.
        count: How many.
        out: Folder for them.
        condition: What to ask the prior for, by the names of its conditions; None for any.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty; further samples of an earlier call are removed.
        phases: Told how far the work is.
        **options: `temperature`, `top_k`, `top_p`, `min_p` and `guidance`; see `Prior.sample`.

    Raises:
        RunError: If there is no prior.
        DataError: If the folder is in the way.
        ValueError: If an argument is out of range, or a condition unknown.
    """
    check_folder(out, overwrite=overwrite)
    with phases("sampling") as progress:
        images = vocabulary.sample(count, condition=condition, seed=seed, progress=progress, **options).cpu()
    out = output_folder(out, overwrite=overwrite)
    results, spacing_mm = ResultWriter(out), vocabulary.config.data.spacing_mm
    for number, image in enumerate(images):
        results.write_unit(f"{SAMPLE}-{number:04d}", image[0].numpy(), _EIGHT_BITS, spacing_mm=spacing_mm)
    sample_sheet(out / SHEET, images[:SHOWN])
    remove_numbered(out, SAMPLE, start=len(images), suffix=SUFFIXES[images.ndim - 2])
