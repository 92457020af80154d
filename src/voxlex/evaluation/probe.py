"""What a simple classifier or regression reads from a description of scans, cross-validated by groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int64
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Reader = Literal["linear", "nearest"]
READERS: tuple[Reader, ...] = ("linear", "nearest")

FOLDS = 5
_RESAMPLES = 200
_COMPONENTS = 96
_NEIGHBOURS = 15

Features = Float[np.ndarray, "n f"]


@dataclass(frozen=True, eq=False)
class Target:
    """A column that is read from descriptions.

    Attributes:
        name: Its name.
        values: Numbers, or the positions of names in `classes`.
        classes: The names; empty for numbers.
    """

    name: str
    values: np.ndarray
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> "Target":
        """Take a column for numbers if all of its values are numbers and more than ten differ; otherwise for names.

        Raises:
            ValueError: If all values are the same.
        """
        texts = [str(value) for value in values]
        distinct = sorted(set(texts))
        if len(distinct) < 2:
            raise ValueError(f"{name}: expected at least two different values, got {len(distinct)}")
        try:
            numbers = np.array([float(text) for text in texts])
        except ValueError:
            numbers = np.array([])
        if len(numbers) and np.isfinite(numbers).all() and len(distinct) > 10:
            return cls(name, numbers)
        return cls.of_names(name, texts)

    @classmethod
    def of_names(cls, name: str, values: Sequence[str]) -> "Target":
        """Take a column for names, even if they look like numbers."""
        classes, numbers = np.unique(np.asarray(values, dtype=str), return_inverse=True)
        return cls(name, numbers, tuple(str(one) for one in classes))


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read from one description.

    Attributes:
        figures: For names `auroc` (of several classes the mean of each against the rest) and `balanced_accuracy`, for
            numbers `r2` and `mae`, in the unit of the column; each with the ends of its confidence interval, as in
            `auroc_low`.
        predictions: The prediction of each image, made without any image of its group.
    """

    figures: dict[str, float]
    predictions: np.ndarray


def probe(
    features: Features,
    target: Target,
    groups: Sequence[str],
    *,
    reader: Reader,
    tested: Features | None = None,
    at_most: int | None = None,
    seed: int = 0,
) -> Reading:
    """Read a target from a description in each fold, with a reader that was fitted to the other folds.

    Descriptions are standardised, and reduced to their principal components, within the folds that are fitted to. The
    linear reader is a logistic regression whose classes weigh alike, or a ridge regression. The other takes the 15
    nearest neighbours. Images of one group are always in one fold.

    Args:
        features: The description of each image.
        target: What to read.
        groups: The group of each image: its subject, and the cluster of its near-duplicates.
        reader: The kind of reader.
        tested: What is read in the held-out fold, by default `features`: another description of the same images, such
            as that of their reconstructions.
        at_most: Images that a reader is fitted to at most; random ones of more.
        seed: Seed of the choice of images, and of the resamples of the confidence intervals, which are drawn by groups.

    Raises:
        ValueError: If there are fewer groups than folds, or a class has fewer than two groups.
    """
    members = _numbered(groups)
    _check_groups(target, members)
    tested, random = features if tested is None else tested, np.random.default_rng(seed)
    scores = np.zeros((len(features), max(len(target.classes), 1)))
    for fitted, held_out in GroupKFold(FOLDS).split(features, groups=members):
        if at_most is not None:
            fitted = random.permutation(fitted)[:at_most]
        model = _fitted(reader, target, features[fitted], target.values[fitted])
        scores[held_out] = _read(model, target, tested[held_out])
    return _reading(target, scores, members, seed=seed)


def probe_by(
    features: Float[np.ndarray, "m f"],
    values: np.ndarray,
    tested: Features,
    target: Target,
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> Reading:
    """Read a target with a linear reader that was fitted to other images, such as new ones.

    Args:
        features: The description of each image to fit to.
        values: The value of each, as in `Target.values`.
        tested: The description of each image to read.
        target: What to read.
        groups: The group of each image to read.
        seed: Seed of the resamples of the confidence intervals, which are drawn by groups.

    Raises:
        ValueError: If all values to fit to are the same.
    """
    if len(np.unique(values)) < 2:
        raise ValueError(
            f"{target.name}: expected at least two different values to fit to, got {len(np.unique(values))}"
        )
    model = _fitted("linear", target, features, values)
    return _reading(target, _read(model, target, tested), _numbered(groups), seed=seed)


def _numbered(groups: Sequence[str]) -> Int64[np.ndarray, " n"]:
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]


def _fitted(reader: Reader, target: Target, features: Features, values: np.ndarray) -> Pipeline:
    if target.classes and len(np.unique(values)) < 2:  # the only class, whatever the image
        return make_pipeline(DummyClassifier()).fit(features, values)
    with np.errstate(invalid="ignore", divide="ignore"):  # shares of a variance that is zero, of equal images
        return _model(reader, target, features).fit(features, values)


def _read(model: Pipeline, target: Target, features: Features) -> Float[np.ndarray, "n k"]:
    """Return the probability of each class, 0 for those that the model does not know, or the number."""
    if not target.classes:
        return model.predict(features)[:, None]
    found = np.zeros((len(features), len(target.classes)))
    found[:, model.classes_] = model.predict_proba(features)
    return found


def _reading(target: Target, scores: Float[np.ndarray, "n k"], members: np.ndarray, *, seed: int) -> Reading:
    predictions = scores.argmax(axis=1) if target.classes else scores[:, 0]
    measures = _MEASURES_OF_CLASSES if target.classes else _MEASURES_OF_NUMBERS
    figures: dict[str, float] = {}
    for name, measure in measures.items():
        figures |= _with_interval(name, measure, target.values, scores, members, seed=seed)
    return Reading(figures, predictions)


def shuffled(target: Target, groups: Sequence[str], *, seed: int = 0) -> Target:
    """Return the target with values that belong to other images: the floor of every figure.

    Each group gets the values of another place in the table as a whole, so that images of one subject stay alike.
    """
    order = np.argsort(np.asarray(groups, dtype=str), kind="stable")
    shift = int(np.random.default_rng(seed).integers(len(order) // 4, 3 * len(order) // 4 + 1))
    values = target.values.copy()
    by_group = target.values[order]
    blocks = np.random.default_rng(seed).permutation(np.unique(np.asarray(groups, dtype=str)[order]))
    places = {name: np.flatnonzero(np.asarray(groups, dtype=str) == name) for name in blocks}
    values[np.concatenate([places[name] for name in blocks])] = np.roll(by_group, shift)
    return Target(target.name, values, target.classes)


def confusions(target: Target, predictions: np.ndarray) -> Int64[np.ndarray, "k k"]:
    """Return how many images of each class, in rows, were taken for each class, in columns."""
    return confusion_matrix(target.values, predictions, labels=range(len(target.classes)))


def weights_of(features: Features, target: Target) -> Float[np.ndarray, "k f"]:
    """Return what each feature says for each class, or for higher numbers, by a linear reader of all images.

    These weights explain a reading and prove nothing; only the cross-validated figures do.
    """
    scale = StandardScaler().fit(features)
    reader = _linear(target).fit(scale.transform(features), target.values)
    weights = np.atleast_2d(reader.coef_)
    return np.concatenate([-weights, weights]) if len(target.classes) == 2 else weights


def _model(reader: Reader, target: Target, features: Features) -> Pipeline:
    steps: list[Any] = [StandardScaler()]
    if features.shape[1] > _COMPONENTS:
        steps.append(PCA(min(_COMPONENTS, len(features) - 1), random_state=0))
    if reader == "linear":
        return make_pipeline(*steps, StandardScaler(), _linear(target))
    count = min(_NEIGHBOURS, len(features))
    nearest = KNeighborsClassifier(count) if target.classes else KNeighborsRegressor(count)
    return make_pipeline(*steps, nearest)


def _linear(target: Target) -> Any:
    if target.classes:
        return LogisticRegression(C=0.03, max_iter=1000, class_weight="balanced")
    return RidgeCV(alphas=np.logspace(0, 5, 11))


def _check_groups(target: Target, members: np.ndarray) -> None:
    if len(np.unique(members)) < FOLDS:
        raise ValueError(f"{target.name}: expected at least {FOLDS} groups of images, got {len(np.unique(members))}")
    for number, name in enumerate(target.classes):
        found = len(np.unique(members[target.values == number]))
        if found < 2:
            raise ValueError(f"{target.name}: expected at least 2 groups of images of {name!r}, got {found}")


def _auroc(values: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean of the areas of each class against the rest, each as Mann and Whitney's statistic."""
    areas = []
    for one in np.unique(values):
        inside, ranks = values == one, rankdata(scores[:, one])
        count = int(inside.sum())
        areas.append((ranks[inside].sum() - count * (count + 1) / 2) / (count * (len(values) - count)))
    return float(np.mean(areas))


def _balanced_accuracy(values: np.ndarray, scores: np.ndarray) -> float:
    right = scores.argmax(axis=1) == values
    return float(np.mean([right[values == one].mean() for one in np.unique(values)]))


def _r2(values: np.ndarray, scores: np.ndarray) -> float:
    spread = ((values - values.mean()) ** 2).sum()
    return float(1 - ((values - scores[:, 0]) ** 2).sum() / max(spread, 1e-30))


_Measure = Callable[[np.ndarray, np.ndarray], float]
_MEASURES_OF_CLASSES: Mapping[str, _Measure] = {
    "auroc": _auroc,
    "balanced_accuracy": _balanced_accuracy,
}
_MEASURES_OF_NUMBERS: Mapping[str, _Measure] = {
    "r2": _r2,
    "mae": lambda values, scores: float(np.abs(values - scores[:, 0]).mean()),
}


def _with_interval(
    name: str, measure: _Measure, values: np.ndarray, scores: np.ndarray, members: np.ndarray, *, seed: int
) -> dict[str, float]:
    """Return a figure with its confidence interval, by the bootstrap over groups."""
    rows = [np.flatnonzero(members == group) for group in np.unique(members)]
    random, found = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([rows[group] for group in random.integers(len(rows), size=len(rows))])
        if len(np.unique(values[chosen])) == len(np.unique(values)) or name in ("r2", "mae"):
            found.append(measure(values[chosen], scores[chosen]))
    figures = {name: measure(values, scores)}
    if found:
        low, high = np.quantile(found, [0.025, 0.975])
        figures |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return figures
