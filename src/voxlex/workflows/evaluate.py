"""Measure a trained vocabulary on images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from voxlex.codes import take
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.code_features import described_codes
from voxlex.evaluation.generation import chosen_features, load_features
from voxlex.evaluation.generation.features import Features, describe
from voxlex.evaluation.generation.judge import FEWEST
from voxlex.evaluation.generation.scattering import SMALLEST
from voxlex.evaluation.labels import Described, label_figures, labelled
from voxlex.evaluation.likelihood import evaluate_prior
from voxlex.evaluation.probe import Target
from voxlex.evaluation.reconstruction import ReconstructionFigures, evaluate_reconstruction, evaluate_texture
from voxlex.evaluation.simple_features import grey_shares
from voxlex.files import write_json
from voxlex.pages import generation_measures
from voxlex.progress import Phases, silent
from voxlex.rows import batches
from voxlex.types import Codes, Levels
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.judge import Generation, can_judge, generate_and_judge

_MOST_LABELLED = 384  # images whose labels are read
_BATCH_SIZE = 32


@dataclass(frozen=True)
class Evaluation:
    """The figures of a set of images, and other results that a report shows.

    Attributes:
        figures: All figures by name.
        reconstruction: The figures of the autoencoder, and the codes.
        generation: New images and their comparison with real images; None if no images were drawn.
        features: Name of the features by which they were compared.
        warnings: What a reader must know to judge the figures.
    """

    figures: dict[str, float]
    reconstruction: ReconstructionFigures
    generation: Generation | None
    features: str
    warnings: list[str]


def evaluate(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    split: Literal["test", "all"] = "test",
    samples: int = 128,
    features: str = "auto",
    shown: bool = False,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> Evaluation:
    """Measure reconstructions, codes, and, if there is a prior, its likelihood and its samples.

    If labels are known, also measure how well they are read from codes, from reconstructions, and by a reader of new
    images; see `evaluation.labels.label_figures`.

    Args:
        vocabulary: The vocabulary to measure.
        dataset: The images. If `split` is "test", this should be the data set that the vocabulary was trained on.
        split: The images to measure on. New images are compared only with test images.
        samples: Number of new images to compare; 0 for none.
        features: Features by which new images are compared; see `evaluation.generation.load_features`.
        shown: Whether new images are also shown. If so, some are drawn even if there are too few to compare.
        workers: Who reconstructs, scores and draws. Samples are judged, and labels read, in this process.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the features cannot be loaded.
        ValueError: If `samples` is below 0.
    """
    if samples < 0:
        raise ValueError(f"samples: expected at least 0, got {samples}")
    measured = load_features(features)
    images = dataset.subset(split)
    with phases("reconstructing") as progress:
        reconstruction = evaluate_reconstruction(vocabulary.autoencoder, images, progress=progress, workers=workers)
    figures, generation = dict(reconstruction.figures), None
    if vocabulary.texture is not None:
        decode = partial(vocabulary.decode, decoding="textured")
        with phases("drawing texture") as progress:
            figures |= evaluate_texture(decode, reconstruction.codes, images, progress=progress, workers=workers)
    if vocabulary.prior is not None:
        figures |= evaluate_prior(
            vocabulary.prior,
            reconstruction.codes,
            vocabulary.prior.conditions.look_up(images.manifest),
            pixels_per_image=images.images[0, 0].size,
            workers=workers,
        )
    warnings = list(reconstruction.warnings)
    if vocabulary.prior is not None and samples and split == "test":
        if shown or can_judge(samples=samples, held_out=len(images)):
            generation = generate_and_judge(
                vocabulary,
                dataset,
                codes=reconstruction.codes,
                count=samples,
                features=measured,
                workers=workers,
                phases=phases,
            )
            figures |= generation.report.figures if generation.report else {}
        warnings += _warnings_of_new_images(figures, samples=samples, held_out=len(images))
    figures |= _label_figures(vocabulary, images, reconstruction.codes, generation, features=measured, phases=phases)
    if split == "test":
        warnings += _warnings_of_split(vocabulary, dataset)
    return Evaluation(
        figures=figures,
        reconstruction=reconstruction,
        generation=generation,
        features=str(chosen_features(features)),
        warnings=warnings,
    )


def _label_figures(
    vocabulary: Vocabulary,
    images: PreparedDataset,
    codes: Codes | Levels,
    generation: Generation | None,
    *,
    features: Features,
    phases: Phases,
) -> dict[str, float]:
    """Return how well labels are read; nothing where there are none, or too few."""
    rows = labelled(list(images.manifest["label"]), list(images.manifest["group"]), at_most=_MOST_LABELLED)
    if not len(rows) or images.size < SMALLEST:
        return {}
    labels, groups = ([str(name) for name in images.manifest[column].iloc[rows]] for column in ("label", "group"))
    chosen = take(codes, rows.tolist())
    greys, real, again = [], [], []
    with phases("reading labels") as progress:
        for some in batches(len(rows), pixels_per_image=images.images[0].size, at_most=_BATCH_SIZE):
            x = images.tensor(rows[some])
            greys.append(grey_shares(x))
            real.append(describe(x, features))
            again.append(describe(vocabulary.decode(take(chosen, some)).cpu(), features))
            progress(some.stop, len(rows))
        described = Described(
            codes=described_codes(vocabulary.autoencoder, chosen, vocabulary.layouts),
            greys=torch.cat(greys).numpy(),
            images=torch.cat(real).numpy(),
            reconstructed=torch.cat(again).numpy(),
        )
        asked = None if generation is None else generation.labels
        samples = describe(generation.samples, features).numpy() if generation is not None and asked else None
        return label_figures(
            Target.of_names("label", labels), groups, described, samples=samples, sample_labels=asked or ()
        )


def _warnings_of_new_images(figures: Mapping[str, float], *, samples: int, held_out: int) -> list[str]:
    if can_judge(samples=samples, held_out=held_out):
        return generation_measures.warnings(figures)
    return [
        f"New images were not compared with real ones. This needs at least {FEWEST} new and {2 * FEWEST} held-out "
        f"images, and there were {samples} new and {held_out} held-out images."
    ]


def _warnings_of_split(vocabulary: Vocabulary, dataset: PreparedDataset) -> list[str]:
    warnings = []
    own = vocabulary.metadata.get("data", {})
    begun_with = vocabulary.metadata.get("pretrained", {})
    if begun_with and begun_with["data"].get("fingerprint") != dataset.fingerprint:
        warnings.append(
            f"The run began with the weights of {begun_with['run']}, which was trained on "
            f"{begun_with['data'].get('name', 'unknown images')}. If some test images were among those, the figures "
            "look better than they are."
        )
    if own.get("fingerprint") != dataset.fingerprint:
        warnings.append(
            f"These images are not the data set that the run was trained on ({own.get('name', 'unknown')}). If some "
            "test images were used for training, the figures look better than they are. Copies are searched for only "
            "among the training part of these images."
        )
    if not (dataset.manifest["subject"] != "").any():
        warnings.append(
            "The subjects of these images are unknown. If slices of one person lie on both sides of the split, the "
            "figures look better than they are."
        )
    return warnings


def write_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Write figures as a JSON object; see `finite`.

    Raises:
        DataError: If the file cannot be written.
    """
    write_json(path, finite(figures))


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for JSON. Those that are not finite, such as the PSNR of equal images, become null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
