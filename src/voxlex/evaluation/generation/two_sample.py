"""Classifier test that asks whether generated images can be told from real ones."""

from math import erfc, sqrt

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from sklearn import linear_model, model_selection
from torch import Tensor

FOLDS = 5
_INVERSE_PENALTY = 10.0  # of rows with a mean square of 1, so that it means the same for any number of features
_FLAT = 1e-6  # a feature with less deviation than this is constant


def told_apart(
    x: Float[Tensor, "n f"],
    y: Float[Tensor, "n f"],
    *,
    x_groups: Int64[Tensor, " n"],
    y_groups: Int64[Tensor, " n"],
    seed: int,
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]] | None:
    """Tell for each image whether a logistic regression, which was not fitted to it, knows if it is in `x` or in `y`.

    This is the classifier two-sample test of Lopez-Paz and Oquab (arXiv 1610.06545), section 3, with cross-validation.
    All images of a group are in one fold, also those of both sets. Otherwise, the classifier could recognise an image
    by its neighbors or its twin, and not by what all images of a set have in common: an image whose twin in the other
    set was in training is put into that set, and the accuracy falls below 1/2.

    Args:
        x: Features of one set.
        y: Features of the other set.
        x_groups: Groups of the images in `x`, such as their subjects, by number.
        y_groups: Groups of the images in `y`.
        seed: Seed of the division into folds.

    Returns:
        For each image of both sets, whether the classifier is right. The share of these is the accuracy; at 0.5, this
        classifier cannot distinguish the sets by these features. None if there are too few groups to train on some
        of both sets and to test on others.

    Raises:
        ValueError: If the sets differ in size, so that guessing would not give 0.5, or if they hold fewer than five
            images.
    """
    if len(x) != len(y) or len(x) < FOLDS:
        raise ValueError(f"expected two sets of the same size, at least {FOLDS} images, got {len(x)} and {len(y)}")
    folds = min(FOLDS, len(x_groups.unique()), len(y_groups.unique()))
    if folds < 2:
        return None
    rows, labels = torch.cat([x, y]).double().cpu().numpy(), np.arange(2).repeat(len(x))
    groups = torch.cat([x_groups, y_groups]).cpu().numpy()
    right = np.zeros(len(rows), dtype=bool)
    division = model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in division.split(rows, labels, groups):
        if len(np.unique(labels[train])) < 2:
            return None
        right[test] = _predicted(rows[train], labels[train], rows[test]) == labels[test]
    return torch.from_numpy(right[: len(x)]), torch.from_numpy(right[len(x) :])


def chance_of_accuracy(accuracy: float, images: int) -> float:
    """Return the p-value of the test: the probability of this or a higher accuracy if the sets do not differ.

    By chance, the accuracy is nearly normal around 1/2 with variance `1 / (4 images)`. This is an approximation,
    because the classifiers of a cross-validation share most of their training images, and images of one group are
    alike.

    Args:
        accuracy: Accuracy of the classifier, from 0 to 1.
        images: Number of images that it classified, in both sets together.
    """
    return 0.5 * erfc((accuracy - 0.5) * sqrt(2 * images))


def _predicted(rows: Float[np.ndarray, "n f"], labels: np.ndarray, others: Float[np.ndarray, "m f"]) -> np.ndarray:
    """Fit a logistic regression to standardised features, and return the labels that it gives to other images."""
    mean, deviation = rows.mean(0), rows.std(0)
    scale = np.where(deviation > _FLAT, 1 / np.maximum(deviation, _FLAT), 0) / sqrt(rows.shape[1])
    rows, others = (rows - mean) * scale, (others - mean) * scale
    if rows.shape[1] > len(rows):
        # The weights lie in the space of the rows. There the same regression has fewer unknowns.
        basis = np.linalg.svd(rows, full_matrices=False)[2].T
        rows, others = rows @ basis, others @ basis
    # Folds of whole groups may hold more images of one set than of the other.
    regression = linear_model.LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
    return regression.fit(rows, labels).predict(others)
