"""Classifier test that asks whether generated images can be told from real ones."""

from math import erfc, sqrt

import torch
from jaxtyping import Float
from sklearn import linear_model, model_selection, pipeline, preprocessing
from torch import Tensor

FOLDS = 5
_INVERSE_PENALTY = 0.1  # there are about as many features as images, so weights need a strong penalty


def classifier_accuracy(x: Float[Tensor, "n f"], y: Float[Tensor, "n f"], *, seed: int) -> float:
    """Return the accuracy with which a logistic regression tells `x` from `y`, on images that it was not fitted to.

    This is the classifier two-sample test of Lopez-Paz and Oquab (arXiv 1610.06545), section 3, with five-fold
    cross-validation.

    Returns:
        The accuracy from 0 to 1. At 0.5, this classifier cannot distinguish the sets by these features.

    Raises:
        ValueError: If the sets differ in size, so that guessing would not give 0.5, or if they hold fewer than five
            images.
    """
    if len(x) != len(y) or len(x) < FOLDS:
        raise ValueError(f"expected two sets of the same size, at least {FOLDS} images, got {len(x)} and {len(y)}")
    rows = torch.cat([x, y]).double().cpu().numpy()
    labels = torch.arange(2).repeat_interleave(len(x)).numpy()
    regression = linear_model.LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000)
    classifier = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return float(model_selection.cross_val_score(classifier, rows, labels, cv=folds).mean())


def chance_of_accuracy(accuracy: float, images: int) -> float:
    """Return the p-value of the test: the probability of this or a higher accuracy if the sets do not differ.

    By chance, the accuracy is nearly normal around 1/2 with variance `1 / (4 images)`. This is an approximation,
    because the classifiers of a cross-validation share most of their training images.

    Args:
        accuracy: Accuracy of the classifier, from 0 to 1.
        images: Number of images that it classified, in both sets together.
    """
    return 0.5 * erfc((accuracy - 0.5) * sqrt(2 * images))
