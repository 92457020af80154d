"""How well labels can be read: from codes, from reconstructions, and by a reader that has learned from new images."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from voxlex.evaluation.probe import FOLDS, Reading, Target, probe, probe_by, shuffled
from voxlex.rows import evenly_spaced

FEWEST = 32
"""Smallest number of labelled images that gives useful figures."""

DRAWS = 5
"""How often labels are dealt out anew for the figures of chance."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Described:
    """The same images, described in several ways.

    Attributes:
        codes: By their codes.
        greys: By their grey values alone, without any place.
        images: By features of the images themselves.
        reconstructed: By the same features of their reconstructions.
    """

    codes: Float[np.ndarray, "n c"]
    greys: Float[np.ndarray, "n g"]
    images: Float[np.ndarray, "n f"]
    reconstructed: Float[np.ndarray, "n f"]


def label_figures(
    target: Target,
    groups: Sequence[str],
    described: Described,
    *,
    samples: Float[np.ndarray, "m f"] | None = None,
    sample_labels: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, float]:
    """Return how well a linear reader tells the label of images of other groups than it was fitted to.

    Args:
        target: The labels.
        groups: The group of each image, such as its subject.
        described: The images.
        samples: Features of new images.
        sample_labels: What each of them was asked to be.
        seed: Seed of all random choices.

    Returns:
        `label.<what>.auroc` and `label.<what>.balanced_accuracy`, with confidence intervals as in
        `label.<what>.auroc_low`. What is:

        - `codes`, `greys` and `images`: fitted to these descriptions of real images, and tested on the same;
        - `reconstructions`: fitted to real images, and tested on reconstructions of others;
        - `samples`: fitted to new images, and tested on real ones, the use that people make of synthetic data (Esteban
          et al., *Real-valued medical time series generation with recurrent conditional GANs*, 2017); and
          `few_images`: fitted to as many real images. Both are missing if no new image has a label, or all have the
          same;
        - `shuffled`: as `images`, with the labels of other images, which is chance. These figures, and the ends of
          their intervals, are means of five draws, since a single one may be far from chance. They are missing if a
          class is so rare that all of it would lie in one group.

        Also `label.n_images`, `label.n_groups` and `label.n_classes`.
    """
    readings: dict[str, Reading] = {
        "codes": probe(described.codes, target, groups, reader="linear", seed=seed),
        "greys": probe(described.greys, target, groups, reader="linear", seed=seed),
        "images": probe(described.images, target, groups, reader="linear", seed=seed),
        "reconstructions": probe(
            described.images, target, groups, reader="linear", tested=described.reconstructed, seed=seed
        ),
    }
    asked = np.array([target.classes.index(label) if label in target.classes else -1 for label in sample_labels], int)
    if samples is not None and len(np.unique(asked[asked >= 0])) > 1:
        known = asked >= 0
        readings["few_images"] = probe(
            described.images, target, groups, reader="linear", at_most=int(known.sum()), seed=seed
        )
        readings["samples"] = probe_by(samples[known], asked[known], described.images, target, groups, seed=seed)
    figures = {f"label.{what}.{name}": value for what, one in readings.items() for name, value in one.figures.items()}
    chance = _by_chance(described.images, target, groups, seed=seed)
    figures |= {f"label.shuffled.{name}": value for name, value in chance.items()}
    counts = {"n_images": len(groups), "n_groups": len(set(groups)), "n_classes": len(target.classes)}
    return figures | {f"label.{name}": value for name, value in counts.items()}


def _by_chance(
    features: Float[np.ndarray, "n f"], target: Target, groups: Sequence[str], *, seed: int
) -> dict[str, float]:
    """Return the means of what is read of labels that belong to other images; nothing if none can be read."""
    draws = []
    for draw in range(DRAWS):
        with suppress(ValueError):  # a class that is rare may end up in a single group
            anyhow = shuffled(target, groups, seed=DRAWS * seed + draw)
            draws.append(probe(features, anyhow, groups, reader="linear", seed=seed).figures)
    known = set.intersection(*map(set, draws)) if draws else set()
    return {name: float(np.mean([draw[name] for draw in draws])) for name in sorted(known)}


def labelled(labels: Sequence[str], groups: Sequence[str], *, at_most: int) -> Int64[np.ndarray, " n"]:
    """Return the images whose label can be read: those of the classes that occur in enough groups.

    Args:
        labels: The label of each image, "" for none.
        groups: The group of each image.
        at_most: How many; evenly spaced ones of more.

    Returns:
        Their numbers; none if there are too few, or fewer than two classes.
    """
    names, owners = np.asarray(labels, dtype=str), np.asarray(groups, dtype=str)
    rows = np.flatnonzero(names != "")
    rows = rows[evenly_spaced(len(rows), at_most)]
    classes = [name for name in np.unique(names[rows]) if len(np.unique(owners[rows][names[rows] == name])) >= FOLDS]
    rows = rows[np.isin(names[rows], classes)]
    return rows if len(classes) > 1 and len(rows) >= FEWEST else rows[:0]
