"""Draw new images from a vocabulary and compare them with real images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.config import Decoding
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation import GenerationReport, judge_samples
from voxlex.evaluation.generation.features import Features
from voxlex.evaluation.generation.judge import FEWEST
from voxlex.evaluation.generation.scattering import log_scattering
from voxlex.metrics import radial_power
from voxlex.models.batches import decode_in_batches, image_batches
from voxlex.progress import Phases, silent
from voxlex.types import Codes, Image, Levels
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.drawing import draw_in_batches

SHOWN_SAMPLES = 64
"""Number of new images to draw at least, for a sheet, even if few images are held out."""

SHOWN_VOLUMES = 24
"""The same for volumes. Drawing a volume takes as long as dozens of images, and the sheet shows three slices of it."""

SHOWN_PAIRS = 6
"""Number of samples that are shown beside their nearest training image."""

ENDS: Mapping[Decoding, str] = {"faithful": "_reconstructed", "textured": "_textured"}
"""Ends of the names of the figures of reconstructions."""

_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Generation:
    """New images and their comparison with real images.

    Attributes:
        samples: The new images, in [0, 1], on the CPU.
        labels: The label that each image was drawn for, "" for none; None if the prior does not know labels.
        report: The comparison with held-out images; None if there are too few of them.
        spectra: Mean radial power spectrum of the images, of each kind of reconstructions and of the samples, by name.
        nearest: The training images of the closest pairs, which come first in `report.pairs`.
    """

    samples: Image
    labels: list[str] | None
    report: GenerationReport | None
    nearest: Float[Tensor, "p c *space"] | None
    spectra: Mapping[str, Float[Tensor, " rings"]]


def can_judge(*, samples: int, held_out: int) -> bool:
    """Tell whether there are enough new and held-out images to compare them."""
    return samples >= FEWEST and held_out >= 2 * FEWEST


def generate_and_judge(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    codes: Codes | Levels,
    count: int,
    features: Features = log_scattering,
    seed: int = 0,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> Generation:
    """Draw new images and compare them with held-out images, which have the same labels.

    Reconstructions of the held-out images are compared in the same way. Also search for samples that are copies of
    training images.

    Args:
        vocabulary: A vocabulary with a prior.
        dataset: The data set that it was trained on. Samples are compared with its test part.
        codes: The codes of its test part.
        count: Number of images to draw. Fewer are drawn if there are not enough held-out images to compare them with.
        features: Features by which they are compared; see `evaluation.generation.load_features`.
        seed: The same seed gives the same samples and figures on the same machine.
        workers: Who draws and reconstructs.
        phases: Receives the progress of the work.
    """
    held_out, training = dataset.subset("test"), dataset.subset("train")
    shown = SHOWN_SAMPLES if vocabulary.autoencoder.spatial_dims == 2 else SHOWN_VOLUMES
    count = min(count, max(len(held_out) // 2, shown))
    labels = _labels_like(held_out, count, known=vocabulary.labels)
    with phases("sampling") as progress:
        condition = {"label": labels} if labels else None
        drawn = draw_in_batches(vocabulary, count, seed=seed, condition=condition, progress=progress, workers=workers)
        samples = torch.cat(list(drawn))
    reconstructed, ways = {}, _ways(vocabulary)
    with phases("reconstructing") as progress:
        for name in ways:
            decode = partial(vocabulary.decode, decoding=name)
            reconstructed[name] = torch.cat(list(decode_in_batches(decode, codes, held_out, workers=workers)))
            progress(len(reconstructed), len(ways))
    real = held_out.tensor()
    named = {"reconstructions" if name == "faithful" else name: images for name, images in reconstructed.items()}
    sides = {"images": real, **named, "samples": samples}
    spectra = {name: radial_power(images).mean(dim=0) for name, images in sides.items()}
    if not can_judge(samples=count, held_out=len(held_out)):
        return Generation(samples=samples, labels=labels, report=None, nearest=None, spectra=spectra)
    with phases("judging samples") as progress:
        report = judge_samples(
            samples,
            real,
            image_batches(training, at_most=_BATCH_SIZE),
            groups=[str(group) for group in held_out.manifest["group"]],
            reconstructed={ENDS[name]: images for name, images in reconstructed.items()},
            features=features,
            seed=seed,
            progress=progress,
        )
    nearest = training.tensor([pair.training for pair in report.pairs[:SHOWN_PAIRS]])
    return Generation(samples=samples, labels=labels, report=report, nearest=nearest, spectra=spectra)


def _ways(vocabulary: Vocabulary) -> list[Decoding]:
    """Return the ways in which the vocabulary can decode."""
    return ["faithful"] if vocabulary.texture is None else ["faithful", "textured"]


def _labels_like(images: PreparedDataset, count: int, *, known: list[str]) -> list[str] | None:
    """Return sorted labels in the same proportions as in the images; None if the prior does not know labels."""
    if not known:
        return None
    found = [images.manifest["label"].iloc[i * len(images) // count] for i in range(count)]
    return sorted(label if label in known else "" for label in found)
