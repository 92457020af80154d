"""Draw new images from a vocabulary and judge them beside real ones."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation import GenerationReport, judge_samples
from voxlex.evaluation.generation.features import Features, gradient_statistics
from voxlex.evaluation.generation.judge import FEWEST
from voxlex.models.batches import image_batches
from voxlex.progress import Phases, silent
from voxlex.types import Image
from voxlex.vocabulary import Vocabulary

SHOWN_SAMPLES = 64
"""Enough for a sheet, however few the held-out images are."""

SHOWN_VOLUMES = 24
"""Fewer, of volumes: each takes as long as dozens of images, and shows three slices."""

SHOWN_PAIRS = 6
"""Samples that are shown beside the training image nearest to them."""

_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Generation:
    """New images, and what was found out about them.

    Attributes:
        samples: Drawn from the prior, in [0, 1], on the CPU.
        labels: What each was asked to be, "" where it may be any; None for a prior that cannot be asked.
        report: How they compare with held-out images; None if those are too few to tell.
        nearest: The training images of the first pairs of `report.pairs`, the closest.
    """

    samples: Image
    labels: list[str] | None
    report: GenerationReport | None
    nearest: Float[Tensor, "p c *space"] | None


def can_judge(*, samples: int, held_out: int) -> bool:
    """Whether so many new images and held-out ones are enough to compare them."""
    return samples >= FEWEST and held_out >= 2 * FEWEST


def generate_and_judge(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    count: int,
    features: Features = gradient_statistics,
    seed: int = 0,
    phases: Phases = silent,
) -> Generation:
    """Draw new images, of the labels that held-out images have, and judge them by those; look for copies in training.

    Args:
        vocabulary: With a prior.
        dataset: What it was trained on; its test part is what the samples are compared with.
        count: How many to draw; fewer if the held-out images are too few to compare so many with.
        features: What they are compared by; see `evaluation.generation.load_features`.
        seed: The same seed gives the same samples and figures on the same machine.
        phases: Told how far the work is.
    """
    held_out, training = dataset.subset("test"), dataset.subset("train")
    shown = SHOWN_SAMPLES if vocabulary.autoencoder.spatial_dims == 2 else SHOWN_VOLUMES
    count = min(count, max(len(held_out) // 2, shown))
    labels = _labels_like(held_out, count, known=vocabulary.labels)
    with phases("sampling") as progress:
        samples = vocabulary.sample(
            count, condition={"label": labels} if labels else None, seed=seed, progress=progress
        ).cpu()
    if not can_judge(samples=count, held_out=len(held_out)):
        return Generation(samples=samples, labels=labels, report=None, nearest=None)
    with phases("judging samples") as progress:
        report = judge_samples(
            samples,
            held_out.tensor(),
            image_batches(training, at_most=_BATCH_SIZE),
            features=features,
            seed=seed,
            progress=progress,
        )
    nearest = training.tensor([pair.training for pair in report.pairs[:SHOWN_PAIRS]])
    return Generation(samples=samples, labels=labels, report=report, nearest=nearest)


def _labels_like(images: PreparedDataset, count: int, *, known: list[str]) -> list[str] | None:
    """Return labels in the proportions of images, sorted; "" where it is unknown; None if the prior knows none."""
    if not known:
        return None
    found = [images.manifest["label"].iloc[i * len(images) // count] for i in range(count)]
    return sorted(label if label in known else "" for label in found)
