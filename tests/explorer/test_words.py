"""The map of codewords: like lies by like, and nothing overlaps."""

import numpy as np
import pytest

from voxlex.explorer.words import mosaic


@pytest.fixture
def places() -> np.ndarray:
    rng = np.random.default_rng(0)
    return mosaic(rng.normal(size=(200, 6)), rng.uniform(1, 9, size=200))


def test_rectangles_fill_the_square_without_overlap(places: np.ndarray) -> None:
    points = np.random.default_rng(1).uniform(size=(2000, 2))
    inside = (
        (points[:, None, 0] >= places[:, 0])
        & (points[:, None, 0] < places[:, 0] + places[:, 2])
        & (points[:, None, 1] >= places[:, 1])
        & (points[:, None, 1] < places[:, 1] + places[:, 3])
    )
    assert (inside.sum(axis=1) == 1).mean() > 0.999


def test_like_lies_by_like() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(loc=4 * group, scale=0.3, size=(50, 5)) for group in range(4)])
    places = mosaic(vectors, np.ones(200))
    middles = places[:, :2] + places[:, 2:] / 2
    within = [
        np.linalg.norm(middles[50 * g : 50 * g + 50] - middles[50 * g : 50 * g + 50].mean(axis=0), axis=1).mean()
        for g in range(4)
    ]
    assert max(within) < 0.75 * np.linalg.norm(middles - middles.mean(axis=0), axis=1).mean()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_codewords_are_no_trouble(count: int) -> None:
    places = mosaic(np.zeros((count, 3)), np.ones(count))
    assert places.shape == (count, 4)
    assert places[:, 2:].prod(axis=1).sum() == pytest.approx(min(count, 1))
