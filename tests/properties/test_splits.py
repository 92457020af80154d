"""No division leaks, whatever the table: groups stay together, and neither the order nor a second run matters."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scans.pictures import picture
from voxlex.data.division import SPLITS, assign_splits, divide, join, split_or_test
from voxlex.data.sources import open_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
GROUPS = st.lists(NAMES, min_size=1, max_size=40)
SEEDS = st.integers(0, 2**32 - 1)


@given(groups=GROUPS, seed=SEEDS)
def test_a_group_lies_in_one_split_and_each_split_has_one(groups: list[str], seed: int) -> None:
    if len(set(groups)) < len(SPLITS):
        assert set(split_or_test(groups, seed=seed)) == {"test"}
        return
    splits = list(assign_splits(groups, seed=seed))
    of_group = dict(zip(groups, splits, strict=True))
    assert splits == [of_group[group] for group in groups]
    assert set(splits) == set(SPLITS)
    assert splits == list(assign_splits(groups, seed=seed))


@given(groups=GROUPS, seed=SEEDS, order=st.randoms(use_true_random=False))
def test_the_order_and_the_number_of_rows_do_not_matter(groups: list[str], seed: int, order: object) -> None:
    before = dict(zip(groups, split_or_test(groups, seed=seed), strict=True))
    shuffled = [*groups, groups[0]]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(zip(shuffled, split_or_test(shuffled, seed=seed), strict=True)) == before


@given(data=st.data(), groups=GROUPS)
def test_joined_groups_are_the_connected_components(data: st.DataObject, groups: list[str]) -> None:
    size = len(groups)
    clusters = data.draw(st.lists(st.integers(0, size), min_size=size, max_size=size))
    joined = join(groups, clusters)
    for keys in (groups, clusters):
        of_key = dict(zip(keys, joined, strict=True))
        assert joined == [of_key[key] for key in keys]
    assert set(joined) <= set(groups)
    # What is joined is connected: walking over equal groups and equal clusters reaches all of it.
    for name in set(joined):
        members = {place for place in range(size) if joined[place] == name}
        reached = {min(members)}
        while more := {
            place
            for place in members - reached
            if any(groups[place] == groups[other] or clusters[place] == clusters[other] for other in reached)
        }:
            reached |= more
        assert reached == members


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A manifest of any subjects, some unknown, and perhaps of a split that somebody has made."""
    size = draw(st.integers(1, 25))
    subjects = draw(st.lists(st.sampled_from(["", "a", "b", "c", "d", "A", " a", "é"]), min_size=size, max_size=size))
    paths = [f"{number}.png" for number in range(size)]
    table = pd.DataFrame({"path": paths, "subject": subjects})
    table["group"] = table["subject"].where(table["subject"] != "", table["path"])
    if draw(st.booleans()):
        table["split"] = draw(st.lists(st.sampled_from(SPLITS), min_size=size, max_size=size))
    return table


@given(table=tables(), seed=SEEDS)
def test_no_division_of_any_table_leaks(table: pd.DataFrame, seed: int) -> None:
    known = table[table["subject"] != ""]
    given_leaks = "split" in table and bool((known.groupby("subject")["split"].nunique() > 1).any())
    if given_leaks:
        with pytest.raises(DataError, match="leaks"):
            divide(table, None, seed=seed, name="table")
        return
    divided, facts = divide(table, None, seed=seed, name="table")
    assert list(divided["path"]) == list(table["path"])
    assert set(divided["split"]) <= set(SPLITS)
    assert (divided.groupby("group")["split"].nunique() == 1).all()
    assert (divided[divided["subject"] != ""].groupby("subject")["split"].nunique() == 1).all()
    if "split" in table:
        assert list(divided["split"]) == list(table["split"])
        assert facts == {"split": "given"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        Image.fromarray(picture(number)).save(folder / f"{number:02}.png")
    return folder


@given(data=st.data())
def test_a_table_of_pictures_is_prepared_without_a_leak(data: st.DataObject, pictures: Path) -> None:
    """From the file to the prepared set: any subjects, and copies of a picture under other names."""
    size = data.draw(st.integers(4, 12))
    subjects = data.draw(st.lists(st.sampled_from(["", "p1", "p2", "p3", "007"]), min_size=size, max_size=size))
    lines = [f"{number:02}.png,{subject}" for number, subject in enumerate(subjects)]
    (pictures / "table.csv").write_text("\n".join(["path,subject", *lines]) + "\n")
    manifest = open_source(pictures / "table.csv", Frame(size=16)).manifest
    assert sorted(manifest["path"]) == [f"{number:02}.png" for number in range(size)]
    known = manifest[manifest["subject"] != ""]
    assert (known.groupby("subject")["split"].nunique() <= 1).all()
    assert (manifest.groupby("group")["split"].nunique() == 1).all()
    assert np.isin(manifest["split"], SPLITS).all()
