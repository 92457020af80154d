"""Measure a trained vocabulary on images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation import load_features
from voxlex.evaluation.generation.judge import FEWEST
from voxlex.evaluation.likelihood import evaluate_prior
from voxlex.evaluation.reconstruction import ReconstructionFigures, evaluate_reconstruction
from voxlex.files import write_json
from voxlex.pages import generation_measures
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.judge import Generation, can_judge, generate_and_judge


@dataclass(frozen=True)
class Evaluation:
    """All figures of a set of images by their names, and what else a report shows of them.

    Attributes:
        figures: By name.
        reconstruction: Those of the autoencoder, and the codes.
        generation: New images, and how they compare with real ones; None if none were drawn.
        warnings: What a reader must know to judge the figures.
    """

    figures: dict[str, float]
    reconstruction: ReconstructionFigures
    generation: Generation | None
    warnings: list[str]


def evaluate(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    split: Literal["test", "all"] = "test",
    samples: int = 128,
    features: str = "default",
    shown: bool = False,
    phases: Phases = silent,
) -> Evaluation:
    """Measure reconstructions, codes, and, if there is one, the prior and what is drawn from it.

    Args:
        vocabulary: What is measured.
        dataset: Images; if `split` is "test", those that the vocabulary was trained on and their test part.
        split: Which of them to measure on. New images are judged beside the test part only.
        samples: How many new images to judge; 0 for none.
        features: What new images are compared by; see `evaluation.generation.load_features`.
        shown: The new images are looked at, too: draw some even where there are too few to judge.
        phases: Told how far the work is.

    Raises:
        DataError: If the features are not there.
        ValueError: If `samples` is below 0.
    """
    if samples < 0:
        raise ValueError(f"samples: expected at least 0, got {samples}")
    describe = load_features(features)
    images = dataset.subset(split)
    with phases("reconstructing") as progress:
        reconstruction = evaluate_reconstruction(vocabulary.autoencoder, images, progress=progress)
    figures, generation = dict(reconstruction.figures), None
    if vocabulary.prior is not None:
        figures |= evaluate_prior(
            vocabulary.prior,
            reconstruction.codes,
            vocabulary.prior.conditions.look_up(images.manifest),
            pixels_per_image=images.images[0, 0].size,
        )
    warnings = list(reconstruction.warnings)
    if vocabulary.prior is not None and samples and split == "test":
        if shown or can_judge(samples=samples, held_out=len(images)):
            generation = generate_and_judge(vocabulary, dataset, count=samples, features=describe, phases=phases)
            figures |= generation.report.figures if generation.report else {}
        warnings += _warnings_of_new_images(figures, samples=samples, held_out=len(images))
    if split == "test":
        warnings += _warnings_of_split(vocabulary, dataset)
    return Evaluation(figures=figures, reconstruction=reconstruction, generation=generation, warnings=warnings)


def _warnings_of_new_images(figures: Mapping[str, float], *, samples: int, held_out: int) -> list[str]:
    if can_judge(samples=samples, held_out=held_out):
        return generation_measures.warnings(figures)
    return [
        f"New images were not judged: that takes {FEWEST} of them and {2 * FEWEST} held-out images; "
        f"{samples} were asked for, and {held_out} are held out."
    ]


def _warnings_of_split(vocabulary: Vocabulary, dataset: PreparedDataset) -> list[str]:
    warnings = []
    own = vocabulary.metadata.get("data", {})
    if own.get("fingerprint") != dataset.fingerprint:
        warnings.append(
            f"These are not the images that the run was trained on ({own.get('name', 'unknown')}): the test part may "
            "hold some of those, and then the figures flatter; copies are looked for in the training part of these."
        )
    if not (dataset.manifest["subject"] != "").any():
        warnings.append(
            "The subjects of these images are unknown: slices of one person may lie on both sides of the split, and "
            "then the figures flatter."
        )
    return warnings


def write_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Write figures as a JSON object; null for what is not finite, such as the PSNR of equal images.

    Raises:
        DataError: If the file cannot be written.
    """
    write_json(path, {name: value if math.isfinite(value) else None for name, value in figures.items()})
