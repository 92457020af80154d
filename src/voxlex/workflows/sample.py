"""Draw new images from a vocabulary's prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import torch

from voxlex.config import Decoding
from voxlex.images.intensity import IntensityMap
from voxlex.outputs import SUFFIXES, check_folder
from voxlex.pages.pictures import sample_sheet
from voxlex.priors.draw import SamplingOptions
from voxlex.progress import Phases, silent
from voxlex.types import Image
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.drawing import draw_in_batches
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
    workers: Workers = HERE,
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
        workers: Who draws.
        phases: Receives the progress of the work.
        **options: `temperature`, `top_k`, `top_p`, `min_p` and `guidance`; see `Prior.sample`.

    Raises:
        RunError: If the vocabulary does not have a prior, or not the decoder that is asked for.
        DataError: If the folder cannot be used.
        ValueError: If an argument is out of range, or a condition is unknown.
    """
    vocabulary.check_decoding(decoding or "faithful")
    check_folder(out, overwrite=overwrite)
    results, spacing_mm = ResultWriter(out), vocabulary.config.data.spacing_mm
    shown: list[Image] = []
    with phases("sampling") as progress:
        for images in draw_in_batches(
            vocabulary,
            count,
            seed=seed,
            condition=condition,
            decoding=decoding,
            progress=progress,
            workers=workers,
            **options,
        ):
            if not results.written:  # not before there is an image
                output_folder(out, overwrite=overwrite)
            if results.written < SHOWN:
                shown.append(images[: SHOWN - results.written])
            for image in images:
                name = f"{SAMPLE}-{results.written:04d}"
                results.write_unit(name, image[0].numpy(), _EIGHT_BITS, spacing_mm=spacing_mm)
    sheet = torch.cat(shown)
    sample_sheet(out / SHEET, sheet)
    remove_numbered(out, SAMPLE, start=count, suffix=SUFFIXES[sheet.ndim - 2])
