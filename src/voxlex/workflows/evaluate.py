"""Measure a trained vocabulary on images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.codes import take
from voxlex.data.dataset import PreparedDataset, unit_images
from voxlex.evaluation.code_features import described_codes
from voxlex.evaluation.generation import chosen_features, load_features
from voxlex.evaluation.generation.features import Features, describe
from voxlex.evaluation.generation.plan import FEWEST
from voxlex.evaluation.generation.scattering import SMALLEST
from voxlex.evaluation.labels import Described, label_figures, labelled
from voxlex.evaluation.likelihood import prior_figures
from voxlex.evaluation.looking import FAITHFUL, Look, Looked, Wanted, look_at
from voxlex.evaluation.probe import Target
from voxlex.evaluation.reconstruction import ReconstructionFigures, reconstruction_figures, texture_figures
from voxlex.evaluation.simple_features import grey_shares
from voxlex.files import write_json
from voxlex.pages import generation_measures
from voxlex.progress import Phases, silent
from voxlex.rows import batches
from voxlex.types import Codes, Levels
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.judge import Generation, Judging, can_judge, plan_generation, ways_of

_MOST_LABELLED = 384  # images whose labels are read
_BATCH_SIZE = 32


@dataclass(frozen=True)
class Evaluation:
    """The figures of a set of images, and other results that a report shows.

    Attributes:
        figures: All figures by name.
        reconstruction: The figures of the autoencoder.
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
        workers: Who reconstructs, scores and draws. What they return of each image is small.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the features cannot be loaded.
        ValueError: If `samples` is below 0.
    """
    if samples < 0:
        raise ValueError(f"samples: expected at least 0, got {samples}")
    measured = load_features(features)
    images = dataset.subset(split)
    generating = vocabulary.prior is not None and samples > 0 and split == "test"
    judging = None
    if generating and (shown or can_judge(samples=samples, held_out=len(images))):
        judging = plan_generation(vocabulary, dataset, count=samples, features=measured, phases=phases)
    rows = _labelled_rows(images)
    with phases("reconstructing") as progress:
        looked = look_at(
            _look(vocabulary, judging, features=measured),
            images,
            wanted=replace(Wanted() if judging is None else judging.wanted, codes=rows.tolist()),
            progress=progress,
            workers=workers,
        )
    reconstruction = reconstruction_figures(looked, vocabulary.autoencoder, images)
    figures = reconstruction.figures | _figures_of_codes(vocabulary, looked, images)
    warnings = list(reconstruction.warnings)
    generation = None if judging is None else judging.judged(looked, workers=workers, phases=phases)
    if generation is not None and generation.report is not None:
        figures |= generation.report.figures
    if generating:
        warnings += _warnings_of_new_images(figures, samples=samples, held_out=len(images))
    if len(rows):
        figures |= _label_figures(
            vocabulary, images, rows, looked.codes, generation, features=measured, workers=workers, phases=phases
        )
    if split == "test":
        warnings += _warnings_of_split(vocabulary, dataset)
    return Evaluation(
        figures=figures,
        reconstruction=reconstruction,
        generation=generation,
        features=str(chosen_features(features)),
        warnings=warnings,
    )


def _look(vocabulary: Vocabulary, judging: Judging | None, *, features: Features) -> Look:
    """Return what is measured of each image."""
    others = [way for way in ways_of(vocabulary) if way != FAITHFUL]
    return Look(
        autoencoder=vocabulary.autoencoder,
        decoders={way: partial(vocabulary.decode, decoding=way) for way in others},
        prior=vocabulary.prior,
        features=features,
        known=None if judging is None else judging.known,
        spectra=judging is not None,
    )


def _figures_of_codes(vocabulary: Vocabulary, looked: Looked, images: PreparedDataset) -> dict[str, float]:
    """Return the figures of the textured decoder and of the prior, if there are any."""
    figures = {} if vocabulary.texture is None else texture_figures(looked, images)
    if vocabulary.prior is None:
        return figures
    pixels = images.images[0, 0].size
    return figures | prior_figures(
        vocabulary.prior, looked.nats, looked.counts, images=len(images), pixels_per_image=pixels
    )


def _labelled_rows(images: PreparedDataset) -> Int64[np.ndarray, " n"]:
    """Return the images whose labels are read; none where there are no labels, or too few."""
    rows = labelled(list(images.manifest["label"]), list(images.manifest["group"]), at_most=_MOST_LABELLED)
    return rows if images.size >= SMALLEST else rows[:0]


def _label_figures(
    vocabulary: Vocabulary,
    images: PreparedDataset,
    rows: Int64[np.ndarray, " n"],
    codes: Codes | Levels,
    generation: Generation | None,
    *,
    features: Features,
    workers: Workers,
    phases: Phases,
) -> dict[str, float]:
    """Return how well the labels of some images are read."""
    labels, groups = ([str(name) for name in images.manifest[column].iloc[rows]] for column in ("label", "group"))
    parts = list(batches(len(rows), pixels_per_image=images.images[0].size, at_most=_BATCH_SIZE))
    items = ((np.array(images.images[rows[part]]), take(codes, part)) for part in parts)
    described = []
    with phases("reading labels") as progress:
        for part, own in zip(parts, workers.map(partial(_described, vocabulary, features), items), strict=True):
            described.append(own)
            progress(part.stop, len(rows))
        greys, real, again = (torch.cat(own).numpy() for own in zip(*described, strict=True))
        asked = None if generation is None else generation.labels
        samples = describe(generation.samples, features).numpy() if generation is not None and asked else None
        return label_figures(
            Target.of_names("label", labels),
            groups,
            Described(
                codes=described_codes(vocabulary.autoencoder, codes, vocabulary.layouts),
                greys=greys,
                images=real,
                reconstructed=again,
            ),
            samples=samples,
            sample_labels=asked or (),
        )


def _described(
    vocabulary: Vocabulary, features: Features, item: tuple[np.ndarray, Codes | Levels]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the grey values of images, and the features of the images and of what their codes decode to."""
    pixels, codes = item
    x = unit_images(pixels)
    return grey_shares(x), describe(x, features), describe(vocabulary.decode(codes).cpu(), features)


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
