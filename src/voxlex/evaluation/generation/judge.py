"""Judge generated images, with every figure beside the same figure of real images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.evaluation.generation.diversity import mean_ms_ssim
from voxlex.evaluation.generation.features import Features, describe, gradient_statistics
from voxlex.evaluation.generation.frechet import frechet_distance
from voxlex.evaluation.generation.memorisation import Pair, TrainingImages, copy_distance, memorisation_figures
from voxlex.evaluation.generation.neighbours import overlap
from voxlex.evaluation.generation.two_sample import chance_of_accuracy, classifier_accuracy
from voxlex.evaluation.generation.wasserstein import sliced_wasserstein
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
    also exist for reconstructions of real images, as in `generation.swd_reconstructed`. They show how good samples
    could be if the prior was perfect.

    - Likeness: `swd`, `frechet`, `precision`, `recall`, `density`, `coverage`, `c2st` (the accuracy of a classifier,
      0.5 if the sets are indistinguishable) and `c2st_p_value`.
    - Variety: `ms_ssim`.
    - Memorization: `copies`, `closer_than_p1`, `closer_than_p5`, `closer_than_median` and `memorisation_auc`.
    - Counts: `n_samples`, and `n_compared`, the size of every set that was compared for likeness.

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
    reconstructed: Float[Tensor, "m _ *_"] | None = None,
    features: Features = gradient_statistics,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> GenerationReport:
    """Compare samples with held-out images, and search for copies of training images among them.

    The held-out images are divided into two random halves. The samples are compared with the first half. For the floor,
    the second half is compared with the first. All three sets have the same size, because most distances grow as sets
    shrink. This size is the number of samples or half the number of held-out images, whichever is smaller. Figures are
    means over several such divisions.

    Args:
        samples: Generated images in [0, 1], `(n, c, h, w)`, or volumes `(n, c, d, h, w)`.
        held_out: Real images of the same shape that no part of the model was trained on, in any order.
        training: Batches of the images that the model was trained on, such as `images.split(256)`.
        reconstructed: Reconstructions of the held-out images, in the same order. They are compared like samples.
        features: Features for the Fréchet distance, the overlap and the classifier.
        seed: Seed of all random choices. The same seed gives the same figures on the same machine.
        progress: Function that is called with the number of finished steps and the number of all steps.

    Raises:
        ValueError: If there are too few images, or their shapes differ.
    """
    size = _compared(samples, held_out)
    generator = torch.Generator().manual_seed(seed)
    report = progress or (lambda done, total: None)
    report(0, ROUNDS + 1)
    known = TrainingImages(training)
    (near, nearest), (real_near, _) = known.nearest(samples), known.nearest(held_out)
    made, real = _Described.of(samples, features, near), _Described.of(held_out, features, real_near)
    again = None if reconstructed is None else _Described.of(reconstructed, features, real_near)
    sides = {"": made, "_floor": real} | ({} if again is None else {"_reconstructed": again})
    varied = {end: mean_ms_ssim(side.images, generator=generator) for end, side in sides.items()}
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(ROUNDS):
        report(number + 1, ROUNDS + 1)
        rounds.append(_round(made, real, again, size=size, generator=generator, seed=seed + number))
    report(ROUNDS + 1, ROUNDS + 1)
    found = {end: _mean([one[end] for one in rounds]) | {"ms_ssim": varied[end]} for end in sides}
    found[""] |= memorisation_figures(near, real_near)
    figures = {f"generation.{key}{end}": value for end, side in found.items() for key, value in side.items()}
    figures["generation.c2st_p_value"] = chance_of_accuracy(found[""]["c2st"], 2 * size)
    figures |= {"generation.n_samples": len(samples), "generation.n_compared": size}
    pairs = [Pair(int(row), int(nearest[row]), float(near[row])) for row in near.argsort(stable=True)]
    limit = copy_distance(real_near)
    return GenerationReport(figures=figures, pairs=pairs, copies=[pair for pair in pairs if pair.distance < limit])


@dataclass(frozen=True)
class _Described:
    """Images, their features, and their distances to the training images."""

    images: Image
    features: Float[Tensor, "n f"]
    near: Float[Tensor, " n"]

    @classmethod
    def of(cls, images: Image, features: Features, near: Float[Tensor, " n"]) -> "_Described":
        return cls(images, describe(images, features), near)

    def rows(self, chosen: Int64[Tensor, " m"]) -> "_Described":
        return _Described(self.images[chosen], self.features[chosen], self.near[chosen])


def _round(
    made: _Described,
    real: _Described,
    again: _Described | None,
    *,
    size: int,
    generator: torch.Generator,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Compare `size` samples, other real images, and their reconstructions, each with the same `size` real images."""
    order = torch.randperm(len(real.images), generator=generator)
    reference, other = real.rows(order[:size]), real.rows(order[size : 2 * size])
    drawn = made.rows(torch.randperm(len(made.images), generator=generator)[:size])
    figures = {"_floor": _likeness(other, reference, generator=generator, seed=seed)}
    figures["_floor"] |= memorisation_figures(other.near, reference.near)
    figures[""] = _likeness(drawn, reference, generator=generator, seed=seed)
    if again is not None:
        rebuilt = again.rows(order[size : 2 * size])
        figures["_reconstructed"] = _likeness(rebuilt, reference, generator=generator, seed=seed)
    return figures


def _likeness(x: _Described, y: _Described, *, generator: torch.Generator, seed: int) -> dict[str, float]:
    by_scale = sliced_wasserstein(x.images, y.images, generator=generator)
    return {
        "swd": sum(by_scale.values()) / len(by_scale),
        "frechet": frechet_distance(x.features, y.features),
        **overlap(x.features, y.features),
        "c2st": classifier_accuracy(x.features, y.features, seed=seed),
    }


def _mean(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(one[key] for one in rounds) / len(rounds) for key in rounds[0]}


def _compared(samples: Float[Tensor, "n _ *_"], held_out: Float[Tensor, "m _ *_"]) -> int:
    if samples.shape[1:] != held_out.shape[1:]:
        shapes = f"{tuple(samples.shape[1:])} and {tuple(held_out.shape[1:])}"
        raise ValueError(f"expected samples and held-out images of the same shape, got {shapes}")
    if len(samples) < FEWEST or len(held_out) < 2 * FEWEST:
        raise ValueError(
            f"expected at least {FEWEST} samples and {2 * FEWEST} held-out images to judge samples, "
            f"got {len(samples)} and {len(held_out)}"
        )
    return min(len(samples), len(held_out) // 2)
