"""Judge generated images, with every figure beside the same figure of real images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.evaluation.generation.diversity import Numbers, mean_ms_ssim
from voxlex.evaluation.generation.features import Features, describe
from voxlex.evaluation.generation.frechet import frechet_distance
from voxlex.evaluation.generation.memorisation import Pair, TrainingImages, copy_distance, memorisation_figures
from voxlex.evaluation.generation.neighbours import overlap
from voxlex.evaluation.generation.plan import FLOOR, SAMPLES, Plan, Round, plan_judging
from voxlex.evaluation.generation.scattering import log_scattering
from voxlex.evaluation.generation.two_sample import chance_of_accuracy, told_apart
from voxlex.evaluation.generation.wasserstein import sliced_wasserstein
from voxlex.evaluation.intervals import bootstrap_interval
from voxlex.types import Image


@dataclass(frozen=True)
class GenerationReport:
    """The result of judging generated images.

    The names of all figures begin with `generation.`, as in `generation.swd`. Except for the counts and the p-value,
    each has a floor, the same figure of real images, as in `generation.swd_floor`. The figures of likeness and variety
    also exist for reconstructions of real images, as in `generation.swd_reconstructed`, and for textured ones, as in
    `generation.swd_textured`. They show how good samples could be if the prior was perfect.

    - Likeness: `swd`, `frechet`, `precision`, `recall`, `density`, `coverage`, `c2st` (the accuracy of a classifier,
      0.5 if the sets are indistinguishable; NaN if there are too few groups of real images to test it on others than
      it was fitted to) and `c2st_p_value`.
    - Variety: `ms_ssim`.
    - Memorization: `copies`, `closer_than_p1`, `closer_than_p5`, `closer_than_median` and `memorisation_auc`.
    - Counts: `n_samples`, and `n_compared`, the size of every set that was compared for likeness.

    Precision, coverage and c2st have confidence intervals of 95 %, as in `generation.precision_low` and
    `generation.precision_floor_high`, where there are enough groups for one. An interval comes from resampling what
    single images say: whether a sample lies among real images (precision), whether a real image has a sample near it
    (coverage), whether the classifier is right about an image (c2st). Real images and reconstructions are drawn by
    groups, and samples one by one. What the images are compared with is held fixed: the balls of the real images for
    precision, the samples for coverage, the fitted classifiers for c2st, and the model. So an interval tells how much
    a figure depends on which images were measured, not how much it would change if the model was trained again.

    Attributes:
        figures: The figures by name.
        pairs: Every sample with its nearest training image, the closest pair first.
        copies: The pairs that are near copies.
    """

    figures: dict[str, float]
    pairs: list[Pair]
    copies: list[Pair]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A set of images, of which some are compared.

    Attributes:
        images: Gives the images with some numbers, in [0, 1].
        rows: The numbers of those that are compared, sorted.
        features: The features of these.
        near: The distance of every image of the set to the nearest training image.
        groups: The group of every image by number.
    """

    images: Callable[[Numbers], Image]
    rows: Int64[Tensor, " k"]
    features: Float[Tensor, "k f"]
    near: Float[Tensor, " n"]
    groups: Int64[Tensor, " n"]

    def take(self, numbers: Int64[Tensor, " m"]) -> "_Set":
        """Return some of the images that are compared."""
        features = self.features[torch.searchsorted(self.rows, numbers)]
        return _Set(self.images(numbers), features, self.near[numbers], self.groups[numbers])


class _Set(NamedTuple):
    """Images, their features, their distances to the training images, and their groups by number."""

    images: Image
    features: Float[Tensor, "n f"]
    near: Float[Tensor, " n"]
    groups: Int64[Tensor, " n"]


def judge_samples(
    samples: Float[Tensor, "n _ *_"],
    held_out: Float[Tensor, "m _ *_"],
    training: Iterable[Float[Tensor, "_ _ *_"]],
    *,
    groups: Sequence[str] | None = None,
    reconstructed: Mapping[str, Float[Tensor, "m _ *_"]] | None = None,
    features: Features = log_scattering,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> GenerationReport:
    """Compare samples with held-out images, and search for copies of training images among them.

    The held-out images are divided into two random halves by whole groups. The samples are compared with the first
    half. For the floor, the second half is compared with the first. All three sets have the same size, because most
    distances grow as sets shrink. This size is the number of samples or about half the number of held-out images,
    whichever is smaller. Figures are means over several such divisions.

    Args:
        samples: Generated images in [0, 1], `(n, c, h, w)`, or volumes `(n, c, d, h, w)`.
        held_out: Real images of the same shape that no part of the model was trained on, in any order.
        training: Batches of the images that the model was trained on, such as `images.split(256)`.
        groups: The group of each held-out image, such as its subject. Images of one group are alike: they are on one
            side of every comparison as far as possible, and count together in confidence intervals. By default, each
            image is a group.
        reconstructed: Reconstructions of the held-out images, in the same order, by the ends of the names of their
            figures, such as "_reconstructed". They are compared like samples.
        features: Features for the Fréchet distance, the overlap and the classifier.
        seed: Seed of all random choices. The same seed gives the same figures on the same machine.
        progress: Function that is called with the number of finished steps and the number of all steps.

    Raises:
        ValueError: If there are too few images, or their shapes differ.
    """
    if samples.shape[1:] != held_out.shape[1:]:
        shapes = f"{tuple(samples.shape[1:])} and {tuple(held_out.shape[1:])}"
        raise ValueError(f"expected samples and held-out images of the same shape, got {shapes}")
    if groups is not None and len(groups) != len(held_out):
        raise ValueError(f"groups: expected one for each of {len(held_out)} held-out images, got {len(groups)}")
    plan = plan_judging(
        len(samples),
        len(held_out) if groups is None else groups,
        shape=samples.shape[1:],
        reconstructions=reconstructed or {},
        seed=seed,
    )
    known = TrainingImages(training)
    near = known.nearest(held_out)[0]

    def compared(images: Image, rows: Int64[Tensor, " k"]) -> Compared:
        described = describe(images[rows], features)
        return Compared(images=images.__getitem__, rows=rows, features=described, near=near, groups=plan.groups)

    return judge(
        plan,
        samples,
        compared(held_out, plan.held_out),
        known,
        reconstructed={end: compared(images, plan.reconstructed) for end, images in (reconstructed or {}).items()},
        features=features,
        progress=progress,
    )


def judge(
    plan: Plan,
    samples: Float[Tensor, "n _ *_"],
    held_out: Compared,
    known: TrainingImages,
    *,
    reconstructed: Mapping[str, Compared],
    features: Features = log_scattering,
    progress: Callable[[int, int], None] | None = None,
) -> GenerationReport:
    """Judge samples as `judge_samples` does, by images and features of which only those of a plan need be there.

    Args:
        plan: What is compared.
        samples: Generated images in [0, 1].
        held_out: Real images.
        known: The images that the model was trained on.
        reconstructed: Reconstructions of the held-out images, by the ends of the names of their figures.
        features: The features by which all of these are described.
        progress: Function that is called with the number of finished steps and the number of all steps.
    """
    report = progress or (lambda done, total: None)
    report(0, len(plan.rounds) + 1)
    near, nearest = known.nearest(samples)
    every = torch.arange(len(samples))
    alone = every + len(plan.groups)  # drawn one by one; no group of real images is theirs
    described = describe(samples, features)
    made = Compared(images=samples.__getitem__, rows=every, features=described, near=near, groups=alone)
    sides = {SAMPLES: made, FLOOR: held_out, **reconstructed}
    varied = {end: mean_ms_ssim(side.images, plan.pairs[end]) for end, side in sides.items()}
    rounds: list[dict[str, _Likeness]] = []
    for number, one in enumerate(plan.rounds):
        report(number + 1, len(plan.rounds) + 1)
        rounds.append(_round(one, sides, seed=plan.seed + number))
    report(len(plan.rounds) + 1, len(plan.rounds) + 1)
    found = memorisation_figures(near, held_out.near)
    for end in sides:
        found |= _over_rounds([one[end] for one in rounds], end=end) | {f"ms_ssim{end}": varied[end]}
    found["c2st_p_value"] = chance_of_accuracy(found["c2st"], 2 * plan.size)
    figures = {f"generation.{key}": value for key, value in found.items()}
    figures |= {"generation.n_samples": len(samples), "generation.n_compared": plan.size}
    pairs = [Pair(int(row), int(nearest[row]), float(near[row])) for row in near.argsort(stable=True)]
    limit = copy_distance(held_out.near)
    return GenerationReport(figures=figures, pairs=pairs, copies=[pair for pair in pairs if pair.distance < limit])


class _PerImage(NamedTuple):
    """What each of some images says, the group of each, and the set that it is from."""

    values: Float[Tensor, " n"]
    groups: Int64[Tensor, " n"]
    sets: Int64[Tensor, " n"]


class _Likeness(NamedTuple):
    """Figures of one comparison, and the values of single images where a figure is their mean."""

    figures: dict[str, float]
    per_image: dict[str, _PerImage]


def _round(one: Round, sides: Mapping[str, Compared], *, seed: int) -> dict[str, _Likeness]:
    """Compare samples, other real images, and their reconstructions, each with the same real images."""
    reference = sides[FLOOR].take(one.reference)
    found = {}
    for end, state in one.states.items():
        chosen = sides[end].take(one.drawn if end == SAMPLES else one.other)
        generator = torch.Generator()
        generator.set_state(state)
        found[end] = _likeness(chosen, reference, generator=generator, seed=seed)
        if end == FLOOR:
            found[end].figures.update(memorisation_figures(chosen.near, reference.near))
    return found


def _likeness(x: _Set, y: _Set, *, generator: torch.Generator, seed: int) -> _Likeness:
    by_scale = sliced_wasserstein(x.images, y.images, generator=generator)
    overlapping = overlap(x.features, y.features)
    figures = {
        "swd": sum(by_scale.values()) / len(by_scale),
        "frechet": frechet_distance(x.features, y.features),
        **overlapping.figures,
        "c2st": float("nan"),
    }
    ones, zeros = torch.ones_like(x.groups), torch.zeros_like(x.groups)
    per_image = {
        "precision": _PerImage(overlapping.precise.double(), x.groups, ones),
        "coverage": _PerImage(overlapping.covered.double(), y.groups, zeros),
    }
    right = told_apart(x.features, y.features, x_groups=x.groups, y_groups=y.groups, seed=seed)
    if right is not None:
        both = torch.cat(right).double()
        figures["c2st"] = float(both.mean())
        per_image["c2st"] = _PerImage(both, torch.cat([x.groups, y.groups]), torch.cat([ones, zeros]))
    return _Likeness(figures, per_image)


def _over_rounds(rounds: list[_Likeness], *, end: str) -> dict[str, float]:
    """Return means over the rounds, and the confidence intervals of those that are means over images."""
    found = {f"{key}{end}": sum(one.figures[key] for one in rounds) / len(rounds) for key in rounds[0].figures}
    for key in ("precision", "coverage", "c2st"):
        parts = [one.per_image[key] for one in rounds if key in one.per_image]
        if len(parts) < len(rounds):
            continue
        # A group that is drawn brings what its images said in every round.
        values, groups, sets = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        shared = np.intersect1d(groups[sets == 0], groups[sets == 1]).size > 0
        low, high = bootstrap_interval(values, groups.tolist(), strata=None if shared else sets.tolist())
        if np.isfinite([low, high]).all():
            found |= {f"{key}{end}_low": low, f"{key}{end}_high": high}
    return found
