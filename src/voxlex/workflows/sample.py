"""Draw new images from a vocabulary's prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from voxlex.config import Decoding
from voxlex.images.intensity import IntensityMap
from voxlex.outputs import SUFFIXES, check_folder
from voxlex.pages.pictures import sample_sheet
from voxlex.priors.draw import SamplingOptions
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.results import ResultWriter, output_folder, remove_numbered

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
    decoding: Decoding | None = None,
    overwrite: bool = False,
    phases: Phases = silent,
    **options: Unpack[SamplingOptions],
) -> None:
    """Draw new images, and write them as `sample-0000.png` and so on, with a sheet `samples.png`.

    New volumes are written as `sample-0000.nii.gz` with the spacing of the vocabulary. The sheet shows their middle
    slices.

    Args:
        vocabulary: A vocabulary with a prior.
        count: Number of images.
        out: Folder for the images.
        condition: Values of the prior's conditions, by name; None for images without conditions.
        seed: The same seed gives the same images on the same machine.
        decoding: How codes become images; None for the textured decoder if there is one.
        overwrite: Write into a folder that is not empty. Further samples of an earlier call are removed.
        phases: Receives the progress of the work.
        **options: `temperature`, `top_k`, `top_p`, `min_p` and `guidance`; see `Prior.sample`.

    Raises:
        RunError: If the vocabulary does not have a prior, or not the decoder that is asked for.
        DataError: If the folder cannot be used.
        ValueError: If an argument is out of range, or a condition is unknown.
    """
    vocabulary.check_decoding(decoding or "faithful")
    check_folder(out, overwrite=overwrite)
    with phases("sampling") as progress:
        images = vocabulary.sample(
            count, condition=condition, seed=seed, decoding=decoding, progress=progress, **options
        ).cpu()
    out = output_folder(out, overwrite=overwrite)
    results, spacing_mm = ResultWriter(out), vocabulary.config.data.spacing_mm
    for number, image in enumerate(images):
        results.write_unit(f"{SAMPLE}-{number:04d}", image[0].numpy(), _EIGHT_BITS, spacing_mm=spacing_mm)
    sample_sheet(out / SHEET, images[:SHOWN])
    remove_numbered(out, SAMPLE, start=len(images), suffix=SUFFIXES[images.ndim - 2])
