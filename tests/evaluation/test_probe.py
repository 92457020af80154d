"""A probe reads what is there, nothing where nothing is, and never from images of the same group."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from voxlex.evaluation.probe import Target, _auroc, confusions, probe, shuffled, weights_of

RNG = np.random.default_rng(0)
GROUPS = [f"sub-{number // 4}" for number in range(160)]
SUBJECT = np.repeat(np.arange(40), 4)


def features(signal: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(160, 12))
    noise[:, 3] += strength * signal
    return noise.astype(np.float32)


@pytest.mark.parametrize("reader", ["linear", "nearest"])
def test_what_is_there_is_read_and_shuffled_values_are_not(reader: str) -> None:
    ill = np.random.default_rng(2).permutation(np.arange(40) % 2)[SUBJECT]
    target = Target.of("ill", ["yes" if one else "no" for one in ill])
    assert target.classes == ("no", "yes")
    read = probe(features(ill, strength=4.0), target, GROUPS, reader=reader)
    assert read.figures["auroc"] > 0.9
    assert read.figures["auroc_low"] <= read.figures["auroc"] <= read.figures["auroc_high"]
    assert confusions(target, read.predictions).sum() == 160
    assert np.trace(confusions(target, read.predictions)) > 120
    floor = probe(features(ill, strength=4.0), shuffled(target, GROUPS), GROUPS, reader=reader)
    assert 0.2 < floor.figures["auroc"] < 0.8


def test_what_only_tells_subjects_apart_is_not_read() -> None:
    """Each subject has a mark of its own, and a value by chance: without groups it could be read without a fault."""
    marks = np.random.default_rng(3).normal(size=(40, 12))[SUBJECT].astype(np.float32) * 5
    target = Target.of("value", [f"{one}" for one in np.random.default_rng(4).permutation(np.arange(40) % 2)[SUBJECT]])
    grouped = probe(marks, target, GROUPS, reader="nearest").figures["auroc"]
    leaking = probe(marks, target, [str(number) for number in range(160)], reader="nearest").figures["auroc"]
    assert leaking > 0.7 > grouped  # 3 of 15 neighbours are of the same subject


def test_numbers_are_read_in_their_unit() -> None:
    age = np.random.default_rng(5).uniform(20, 80, 40)[SUBJECT]
    target = Target.of("age", [f"{one:.1f}" for one in age])
    assert target.classes == ()
    read = probe(features(age / 10, strength=2.0), target, GROUPS, reader="linear")
    assert read.figures["r2"] > 0.8
    assert 0 < read.figures["mae"] < 8
    assert np.abs(read.predictions - age).mean() == pytest.approx(read.figures["mae"], abs=0.1)


def test_weights_name_the_feature_that_matters() -> None:
    ill = (np.arange(40) % 2)[SUBJECT]
    weights = weights_of(features(ill, strength=4.0), Target.of("ill", list(ill.astype(str))))
    assert weights.shape == (2, 12)
    assert weights.argmax(axis=1)[1] == weights.argmin(axis=1)[0] == 3


def test_a_reader_that_knows_one_class_tells_nothing() -> None:
    rare = np.isin(SUBJECT, [0, 39])
    target = Target.of("rare", ["yes" if one else "no" for one in rare])
    read = probe(features(rare, strength=8.0), target, GROUPS, reader="linear", at_most=4)
    assert read.figures["balanced_accuracy"] == pytest.approx(0.5, abs=0.2)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two different values, got 1"):
        Target.of("same", ["a"] * 160)
    rare = Target.of("kind", ["rare"] * 4 + ["usual"] * 156)
    with pytest.raises(ValueError, match="expected at least 2 groups of images of 'rare', got 1"):
        probe(features(np.zeros(160)), rare, GROUPS, reader="linear")
    target = Target.of("kind", ["a", "b"] * 80)
    with pytest.raises(ValueError, match="expected at least 5 groups of images, got 1"):
        probe(features(np.zeros(160)), target, ["one"] * 160, reader="linear")


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    kinds = np.arange(160) % 3
    read = probe(features(kinds, strength=0.5), Target.of("kind", list(kinds.astype(str))), GROUPS, reader="nearest")
    right = [np.mean(read.predictions[kinds == one] == one) for one in range(3)]
    assert read.figures["balanced_accuracy"] == pytest.approx(np.mean(right))
    scores = np.random.default_rng(0).integers(0, 9, (160, 3)) / 10
    areas = [roc_auc_score(kinds == one, scores[:, one]) for one in range(3)]
    assert _auroc(kinds, scores) == pytest.approx(np.mean(areas))


def test_shuffled_values_are_the_same_ones() -> None:
    target = Target.of("age", [str(number) for number in range(160)])
    assert sorted(shuffled(target, GROUPS).values) == sorted(target.values)
    assert (shuffled(target, GROUPS).values != target.values).mean() > 0.9
