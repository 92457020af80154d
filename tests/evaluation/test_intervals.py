import numpy as np
import pytest

from voxlex.evaluation.intervals import bootstrap_interval


def test_the_interval_of_independent_images_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = bootstrap_interval(values, [str(row) for row in range(400)])
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_equal_images_of_one_subject_count_once():
    subjects = np.random.default_rng(0).normal(5.0, 2.0, 40)
    once = bootstrap_interval(subjects, [str(row) for row in range(40)])
    tenfold = bootstrap_interval(subjects.repeat(10), [str(row // 10) for row in range(400)])
    assert tenfold == pytest.approx(once)


def test_one_group_has_no_interval():
    assert np.isnan(bootstrap_interval(np.ones(3), ["a"] * 3)).all()
    assert np.isnan(bootstrap_interval(np.ones(5), ["a", "a", "a", "b", "c"], strata=[0, 0, 0, 1, 1])).all()


def test_strata_count_alike_and_their_variances_add():
    draws = np.random.default_rng(0)
    few, many = draws.normal(1.0, 1.0, 100), draws.normal(3.0, 2.0, 900)
    values, strata = np.concatenate([few, many]), [0] * 100 + [1] * 900
    low, high = bootstrap_interval(values, range(1000), strata=strata)
    mean = (few.mean() + many.mean()) / 2
    half = 1.96 * (few.var() / 100 + many.var() / 900) ** 0.5 / 2
    assert [low, high] == pytest.approx([mean - half, mean + half], abs=0.02)
