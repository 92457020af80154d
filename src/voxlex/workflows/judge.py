"""Draw new images from a vocabulary and compare them with real images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.config import Decoding
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation import GenerationReport
from voxlex.evaluation.generation.diversity import Numbers
from voxlex.evaluation.generation.features import Features
from voxlex.evaluation.generation.judge import Compared, judge
from voxlex.evaluation.generation.memorisation import TrainingImages
from voxlex.evaluation.generation.plan import FEWEST, Plan, plan_judging
from voxlex.evaluation.generation.scattering import log_scattering
from voxlex.evaluation.looking import FAITHFUL, IMAGES, Looked, Wanted
from voxlex.metrics import radial_power
from voxlex.models.batches import image_batches
from voxlex.progress import Phases, Progress, silent
from voxlex.types import Image
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.drawing import draw_in_batches

SHOWN_SAMPLES = 64
"""Number of new images to draw at least, for a sheet, even if few images are held out."""

SHOWN_VOLUMES = 24
"""The same for volumes. Drawing a volume takes as long as dozens of images, and the sheet shows three slices of it."""

SHOWN_PAIRS = 6
"""Number of samples that are shown beside their nearest training image."""

ENDS: Mapping[str, str] = {"faithful": "_reconstructed", "textured": "_textured"}
"""Ends of the names of the figures of reconstructions."""


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


@dataclass(frozen=True, kw_only=True)
class Judging:
    """New images to draw, and what they are compared with, before anything is drawn or looked at.

    Attributes:
        vocabulary: A vocabulary with a prior.
        held_out: The images that no part of it was trained on.
        training: The images that it was trained on.
        labels: The label that each new image is drawn for, as the held-out images have them; see `Generation`.
        count: Number of new images.
        plan: What is compared; None if there are too few images.
        known: The training images, among which copies are searched for; None if nothing is compared.
        features: Features by which images are compared.
        seed: The same seed gives the same samples and figures on the same machine.
    """

    vocabulary: Vocabulary
    held_out: PreparedDataset
    training: PreparedDataset
    labels: list[str] | None
    count: int
    plan: Plan | None
    known: TrainingImages | None
    features: Features
    seed: int

    @property
    def wanted(self) -> Wanted:
        """The held-out images of which more must be kept than what is measured of each."""
        if self.plan is None:
            return Wanted()
        return Wanted(images=self.plan.held_out.tolist(), reconstructions=self.plan.reconstructed.tolist())

    def judged(self, looked: Looked, *, workers: Workers = HERE, phases: Phases = silent) -> Generation:
        """Draw the new images, and compare them with the held-out images and their reconstructions.

        Args:
            looked: What was kept of the held-out images, spectra among it.
            workers: Who draws.
            phases: Receives the progress of the work.
        """
        with phases("sampling") as progress:
            drawn = draw_in_batches(
                self.vocabulary,
                self.count,
                seed=self.seed,
                condition={"label": self.labels} if self.labels else None,
                progress=progress,
                workers=workers,
            )
            samples = torch.cat(list(drawn))
        names = {FAITHFUL: "reconstructions"}
        spectra = {names.get(name, name): own.mean(dim=0) for name, own in looked.spectra.items()}
        spectra["samples"] = radial_power(samples).mean(dim=0)
        if self.plan is None or self.known is None:
            return Generation(samples=samples, labels=self.labels, report=None, nearest=None, spectra=spectra)
        with phases("judging samples") as progress:
            report = judge(
                self.plan,
                samples,
                self._compared(self.held_out.tensor, self.plan.held_out, looked, IMAGES),
                self.known,
                reconstructed={
                    ENDS[way]: self._compared(
                        partial(_numbered, images, self.plan.reconstructed), self.plan.reconstructed, looked, way
                    )
                    for way, images in looked.reconstructions.items()
                },
                features=self.features,
                progress=progress,
            )
        nearest = self.training.tensor([pair.training for pair in report.pairs[:SHOWN_PAIRS]])
        return Generation(samples=samples, labels=self.labels, report=report, nearest=nearest, spectra=spectra)

    def _compared(self, images: Callable[[Numbers], Image], rows: Numbers, looked: Looked, name: str) -> Compared:
        assert self.plan is not None
        return Compared(
            images=images, rows=rows, features=looked.features[name], near=looked.near, groups=self.plan.groups
        )


def plan_generation(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    count: int,
    features: Features = log_scattering,
    seed: int = 0,
    phases: Phases = silent,
) -> Judging:
    """Plan to draw new images and to compare them with held-out images, which have the same labels.

    Reconstructions of the held-out images are compared in the same way. Samples that are copies of training images are
    also searched for.

    Args:
        vocabulary: A vocabulary with a prior.
        dataset: The data set that it was trained on. Samples are compared with its test part.
        count: Number of images to draw. Fewer are drawn if there are not enough held-out images to compare them with.
        features: Features by which they are compared; see `evaluation.generation.load_features`.
        seed: Seed of all random choices.
        phases: Receives the progress of reading the training images.
    """
    held_out, training = dataset.subset("test"), dataset.subset("train")
    shown = SHOWN_SAMPLES if vocabulary.autoencoder.spatial_dims == 2 else SHOWN_VOLUMES
    count = min(count, max(len(held_out) // 2, shown))
    plan, known = None, None
    if can_judge(samples=count, held_out=len(held_out)):
        plan = plan_judging(
            count,
            [str(group) for group in held_out.manifest["group"]],
            shape=held_out.images.shape[1:],
            reconstructions=[ENDS[way] for way in ways_of(vocabulary)],
            seed=seed,
        )
        with phases("reading training images") as progress:
            known = TrainingImages(_read(training, progress))
    return Judging(
        vocabulary=vocabulary,
        held_out=held_out,
        training=training,
        labels=_labels_like(held_out, count, known=vocabulary.labels),
        count=count,
        plan=plan,
        known=known,
        features=features,
        seed=seed,
    )


def ways_of(vocabulary: Vocabulary) -> list[Decoding]:
    """Return the ways in which a vocabulary can decode."""
    return ["faithful"] if vocabulary.texture is None else ["faithful", "textured"]


def _read(dataset: PreparedDataset, progress: Progress) -> Iterator[Image]:
    done = 0
    for images in image_batches(dataset):
        yield images
        done += len(images)
        progress(done, len(dataset))


def _numbered(
    images: Float[Tensor, "kept c *space"], rows: Int64[Tensor, " kept"], numbers: Numbers
) -> Float[Tensor, "k c *space"]:
    """Return the images with some numbers, of those that were kept."""
    return images[torch.searchsorted(rows, numbers)]


def _labels_like(images: PreparedDataset, count: int, *, known: list[str]) -> list[str] | None:
    """Return sorted labels in the same proportions as in the images; None if the prior does not know labels."""
    if not known:
        return None
    found = [images.manifest["label"].iloc[i * len(images) // count] for i in range(count)]
    return sorted(label if label in known else "" for label in found)
