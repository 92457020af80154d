import numpy as np
import pandas as pd
import pytest

from duplicates.brains import brains
from voxlex.data.division import SPLITS, assign_splits, divide, hold_out, join, split_or_test
from voxlex.duplicates.pairs import cluster, find_duplicates
from voxlex.duplicates.thumbnails import thumbnail
from voxlex.errors import DataError


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


def _random_groups(rng: np.random.Generator) -> list[str]:
    names = [f"g{number}" for number in range(rng.integers(3, 60))]
    extra = rng.choice(names, size=rng.integers(0, 300)).tolist()
    return rng.permutation(names + extra).tolist()


@pytest.mark.parametrize("seed", range(40))
def test_no_group_crosses_a_split_and_none_is_empty(seed: int):
    rng = np.random.default_rng(seed)
    groups = _random_groups(rng)
    fractions = rng.dirichlet([4, 1, 1])
    fractions = (float(fractions[0]), float(fractions[1]), float(1 - fractions[0] - fractions[1]))
    splits = assign_splits(groups, seed=seed, fractions=fractions)
    assert set(splits) == set(SPLITS)
    for group in set(groups):
        assert len({split for split, owner in zip(splits, groups, strict=True) if owner == group}) == 1


def test_shares_are_80_10_10():
    splits = assign_splits([str(number) for number in range(1000)], seed=0)
    assert [int((splits == name).sum()) for name in SPLITS] == [800, 100, 100]


def test_the_order_of_the_images_does_not_matter():
    groups = [f"g{number % 23}" for number in range(200)]
    order = np.random.default_rng(0).permutation(200)
    shuffled = assign_splits([groups[index] for index in order], seed=5)
    np.testing.assert_array_equal(shuffled, assign_splits(groups, seed=5)[order])


def test_the_seed_decides():
    groups = [str(number) for number in range(50)]
    np.testing.assert_array_equal(assign_splits(groups, seed=1), assign_splits(groups, seed=1))
    assert (assign_splits(groups, seed=1) != assign_splits(groups, seed=2)).any()


def test_a_split_of_no_share_stays_empty():
    assert set(assign_splits(["a", "b", "c", "d"], seed=0, fractions=(0.5, 0.0, 0.5))) == {"train", "test"}


def test_fewer_groups_than_splits():
    with pytest.raises(DataError, match=r"expected at least 3 groups .*, got 2"):
        assign_splits(["a", "b", "a"], seed=0)
    assert split_or_test(["a", "b", "a"], seed=0).tolist() == ["test"] * 3


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none(fractions: tuple[float, float, float]):
    with pytest.raises(ValueError, match="sum to 1"):
        assign_splits(["a", "b", "c"], seed=0, fractions=fractions)


@pytest.mark.parametrize("given", [("train", "test"), ("train", "validation"), ("train",)])
@pytest.mark.parametrize("seed", range(5))
def test_what_a_published_split_lacks_is_held_out_of_its_training_part_in_whole_groups(
    given: tuple[str, ...], seed: int
):
    rng = np.random.default_rng(seed)
    groups = [f"g{number}" for number in rng.integers(0, 40, 300)]
    splits = [given[int(group[1:]) % len(given)] for group in groups]
    completed, held_out = hold_out(splits, groups, seed=seed)
    missing = set(SPLITS) - set(given)
    assert set(completed) == set(SPLITS)
    assert held_out == {split: completed.count(split) for split in SPLITS if split in missing}
    assert len({(group, split) for group, split in zip(groups, completed, strict=True)}) == len(set(groups))
    for before, after in zip(splits, completed, strict=True):
        assert before == after or (before == "train" and after in missing)
    assert completed.count("train") > 4 * max(held_out.values())
    assert hold_out(splits, groups, seed=seed) == (completed, held_out)


@pytest.mark.parametrize(
    ("splits", "groups"),
    [
        (["train", "validation", "test"], "abc"),
        (["test", "test", "test"], "abc"),
        (["train", "train", "test"], "aab"),  # one group cannot be divided
        (["train", "train", "test"], "aba"),  # what leaks is not made worse
    ],
)
def test_other_splits_stay_as_they_are(splits: list[str], groups: str):
    assert hold_out(splits, list(groups), seed=0) == (splits, {})


def test_spellings_of_one_subject_are_one_subject_for_a_leak():
    table = pd.DataFrame(
        {"path": list("ab"), "subject": ["P07", "p7"], "group": ["P07"] * 2, "split": ["train", "test"]}
    )
    with pytest.raises(DataError, match=r"x: its split leaks: 1 subject \(P07 in test and train\)"):
        divide(table, None, seed=0, name="x")
