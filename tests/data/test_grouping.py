import numpy as np
import pandas as pd
import pytest

from duplicates.brains import brains
from voxlex.data.grouping import divide, join
from voxlex.duplicates.leaks import Leaks, crossing
from voxlex.duplicates.pairs import Pairs, cluster, find_duplicates
from voxlex.duplicates.thumbnails import thumbnail


@pytest.mark.parametrize("seed", range(20))
def test_joined_groups_are_the_connected_components(seed: int):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    groups = [f"g{number}" for number in rng.integers(0, count, count)]
    clusters = rng.integers(0, count, count)
    joined = join(groups, clusters)
    names = list(groups)
    for _ in range(count):  # until nothing changes: the smallest name spreads over groups and clusters
        for keys in (groups, clusters.tolist()):
            smallest: dict[object, str] = {}
            for key, name in zip(keys, names, strict=True):
                smallest[key] = min(name, smallest.get(key, name))
            names = [smallest[key] for key in keys]
    assert joined == names


def test_without_thumbnails_the_groups_stay():
    table = pd.DataFrame({"path": list("abcdef"), "subject": "", "group": list("aabbcd")})
    divided, facts = divide(table, None, seed=0, name="x")
    assert list(divided["group"]) == list("aabbcd")
    assert facts == {}
    assert divided.groupby("group")["split"].nunique().eq(1).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_groups_are_those_that_all_pairs_would_join(seed: int):
    rng = np.random.default_rng(seed)
    slices = brains(10, slices=12).reshape(-1, 64, 64)
    thumbnails = np.stack([thumbnail(image).astype(np.float16) for image in slices[rng.integers(0, 120, 80)]])
    groups = [f"g{number}" for number in rng.integers(0, 70, 80)]
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(80)], "subject": groups, "group": groups})
    divided, _ = divide(table, thumbnails, seed=0, name="x")
    pairs = find_duplicates(thumbnails, bits=28, correlation=0.90)
    assert list(divided["group"]) == join(groups, cluster(80, pairs))
    assert divided["group"].nunique() < len(set(groups))


def test_rows_without_a_subject_do_not_cross():
    assert crossing(["", "", "a", "a", "b"], ["train", "test", "train", "test", "test"]) == {"a": ("test", "train")}


def test_leaks_are_counted_and_the_first_named():
    first, second = np.arange(5), np.arange(5, 10)
    portion = Pairs(first, second, np.zeros(5, int), np.zeros(5, int))
    leaks = Leaks([f"{n}.png" for n in range(10)], ["train"] * 5 + ["test"] * 4 + ["train"], {}, keep=2)
    assert not leaks
    assert list(leaks.watch([portion])) == [portion]
    assert leaks.pair_count == 4
    assert leaks.pairs == [(0, 5), (1, 6)]
    expected = "4 pairs of near-duplicates (0.png in train and 5.png in test, 1.png in train and 6.png in test, …)"
    assert str(leaks) == expected
