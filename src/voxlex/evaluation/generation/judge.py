"""Judge generated images, with every figure beside the same figure of real images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.evaluation.generation.diversity import mean_ms_ssim
from voxlex.evaluation.generation.features import Features, describe
from voxlex.evaluation.generation.frechet import frechet_distance
from voxlex.evaluation.generation.memorisation import Pair, TrainingImages, copy_distance, memorisation_figures
from voxlex.evaluation.generation.neighbours import overlap
from voxlex.evaluation.generation.scattering import log_scattering
from voxlex.evaluation.generation.two_sample import chance_of_accuracy, told_apart
from voxlex.evaluation.generation.wasserstein import sliced_wasserstein
from voxlex.evaluation.intervals import bootstrap_interval
from voxlex.types import Image

FEWEST = 16
"""Smallest number of samples, and of images in half of the held-out set, that gives useful figures."""

ROUNDS = 4
"""Number of random divisions of the held-out images over which figures are averaged."""


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
    members = _numbered(groups, images=len(held_out))
    size = _compared(samples, held_out, members)
    generator = torch.Generator().manual_seed(seed)
    report = progress or (lambda done, total: None)
    report(0, ROUNDS + 1)
    known = TrainingImages(training)
    (near, nearest), (real_near, _) = known.nearest(samples), known.nearest(held_out)
    alone = torch.arange(len(samples)) + len(held_out)  # drawn one by one; no group of real images is theirs
    made = _Described.of(samples, features, near, alone)
    real = _Described.of(held_out, features, real_near, members)
    again = {end: _Described.of(images, features, real_near, members) for end, images in (reconstructed or {}).items()}
    sides = {"": made, "_floor": real} | again
    varied = {end: mean_ms_ssim(side.images, generator=generator) for end, side in sides.items()}
    rounds: list[dict[str, _Likeness]] = []
    for number in range(ROUNDS):
        report(number + 1, ROUNDS + 1)
        rounds.append(_round(made, real, again, size=size, generator=generator, seed=seed + number))
    report(ROUNDS + 1, ROUNDS + 1)
    found = memorisation_figures(near, real_near)
    for end in sides:
        found |= _over_rounds([one[end] for one in rounds], end=end) | {f"ms_ssim{end}": varied[end]}
    found["c2st_p_value"] = chance_of_accuracy(found["c2st"], 2 * size)
    figures = {f"generation.{key}": value for key, value in found.items()}
    figures |= {"generation.n_samples": len(samples), "generation.n_compared": size}
    pairs = [Pair(int(row), int(nearest[row]), float(near[row])) for row in near.argsort(stable=True)]
    limit = copy_distance(real_near)
    return GenerationReport(figures=figures, pairs=pairs, copies=[pair for pair in pairs if pair.distance < limit])


@dataclass(frozen=True)
class _Described:
    """Images, their features, their distances to the training images, and their groups by number."""

    images: Image
    features: Float[Tensor, "n f"]
    near: Float[Tensor, " n"]
    groups: Int64[Tensor, " n"]

    @classmethod
    def of(
        cls, images: Image, features: Features, near: Float[Tensor, " n"], groups: Int64[Tensor, " n"]
    ) -> "_Described":
        return cls(images, describe(images, features), near, groups)

    def rows(self, chosen: Int64[Tensor, " m"]) -> "_Described":
        return _Described(self.images[chosen], self.features[chosen], self.near[chosen], self.groups[chosen])


class _PerImage(NamedTuple):
    """What each of some images says, the group of each, and the set that it is from."""

    values: Float[Tensor, " n"]
    groups: Int64[Tensor, " n"]
    sets: Int64[Tensor, " n"]


class _Likeness(NamedTuple):
    """Figures of one comparison, and the values of single images where a figure is their mean."""

    figures: dict[str, float]
    per_image: dict[str, _PerImage]


def _round(
    made: _Described,
    real: _Described,
    again: Mapping[str, _Described],
    *,
    size: int,
    generator: torch.Generator,
    seed: int,
) -> dict[str, _Likeness]:
    """Compare `size` samples, other real images, and their reconstructions, each with the same `size` real images."""
    first, second = _halves(real.groups, size=size, generator=generator)
    reference, other = real.rows(first), real.rows(second)
    drawn = made.rows(torch.randperm(len(made.images), generator=generator)[:size])
    floor = _likeness(other, reference, generator=generator, seed=seed)
    floor.figures.update(memorisation_figures(other.near, reference.near))
    found = {"_floor": floor, "": _likeness(drawn, reference, generator=generator, seed=seed)}
    for end, rebuilt in again.items():
        found[end] = _likeness(rebuilt.rows(second), reference, generator=generator, seed=seed)
    return found


def _halves(
    groups: Int64[Tensor, " n"], *, size: int, generator: torch.Generator
) -> tuple[Int64[Tensor, " size"], Int64[Tensor, " size"]]:
    """Draw two sets of rows, which share a group only if there are too few rows for sets without."""
    place = torch.randperm(int(groups.max()) + 1, generator=generator)[groups]
    order = place.argsort(stable=True)
    halves = list(order.tensor_split(2))
    last, following = groups[order[len(halves[0]) - 1]], groups[order[len(halves[0])]]
    if last == following:
        smaller = min((0, 1), key=lambda half: int((groups[halves[half]] == last).sum()))
        others = halves[smaller][groups[halves[smaller]] != last]
        halves[smaller] = others if len(others) >= size else halves[smaller]
    first, second = (half[torch.randperm(len(half), generator=generator)[:size]] for half in halves)
    return first, second


def _likeness(x: _Described, y: _Described, *, generator: torch.Generator, seed: int) -> _Likeness:
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


def _numbered(groups: Sequence[str] | None, *, images: int) -> Int64[Tensor, " m"]:
    if groups is None:
        return torch.arange(images)
    if len(groups) != images:
        raise ValueError(f"groups: expected one for each of {images} held-out images, got {len(groups)}")
    return torch.from_numpy(np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1])


def _compared(samples: Float[Tensor, "n _ *_"], held_out: Float[Tensor, "m _ *_"], groups: Int64[Tensor, " m"]) -> int:
    """Return the size of the sets to compare: what two halves without a common group can always have, at best."""
    if samples.shape[1:] != held_out.shape[1:]:
        shapes = f"{tuple(samples.shape[1:])} and {tuple(held_out.shape[1:])}"
        raise ValueError(f"expected samples and held-out images of the same shape, got {shapes}")
    if len(samples) < FEWEST or len(held_out) < 2 * FEWEST:
        raise ValueError(
            f"expected at least {FEWEST} samples and {2 * FEWEST} held-out images to judge samples, "
            f"got {len(samples)} and {len(held_out)}"
        )
    apart = len(held_out) // 2 - int(groups.bincount().max()) // 2
    return min(len(samples), max(FEWEST, apart))
