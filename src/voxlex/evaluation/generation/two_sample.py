"""Can a classifier tell generated images from real ones?"""

from math import erfc, sqrt

import torch
from jaxtyping import Float
from sklearn import linear_model, model_selection, pipeline, preprocessing
from torch import Tensor

FOLDS = 5
_INVERSE_PENALTY = 0.1  # about as many features as images: weights must be held back


def classifier_accuracy(x: Float[Tensor, "n f"], y: Float[Tensor, "n f"], *, seed: int) -> float:
    """Accuracy of a logistic regression that tells `x` from `y`, on images that it was not fitted to.

    The classifier two-sample test of Lopez-Paz and Oquab (arXiv 1610.06545), section 3, cross-validated in five parts.

    Returns:
        From 0 to 1; 0.5 is indistinguishable, to this classifier and on these features.

    Raises:
        ValueError: The sets differ in size, so that guessing would not give 0.5, or hold fewer than five images.
    """
    if len(x) != len(y) or len(x) < FOLDS:
        raise ValueError(f"both sets must hold the same number of images, {FOLDS} or more, found {len(x)} and {len(y)}")
    rows = torch.cat([x, y]).double().cpu().numpy()
    labels = torch.arange(2).repeat_interleave(len(x)).numpy()
    regression = linear_model.LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000)
    classifier = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return float(model_selection.cross_val_score(classifier, rows, labels, cv=folds).mean())


def chance_of_accuracy(accuracy: float, images: int) -> float:
    """Probability of such an accuracy or a higher one if nothing told the sets apart: the p-value of their test.

    By chance, accuracy is nearly normal around 1/2 with variance `1 / (4 images)`. Cross-validation, whose parts share
    what they were fitted to, makes this an approximation.

    Args:
        accuracy: Of the classifier, from 0 to 1.
        images: How many it classified, both sets together.
    """
    return 0.5 * erfc((accuracy - 0.5) * sqrt(2 * images))
