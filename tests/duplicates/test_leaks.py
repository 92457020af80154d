import numpy as np

from voxlex.duplicates.leaks import Leaks, crossing
from voxlex.duplicates.pairs import Pairs


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


def test_subjects_and_pairs_that_leak_are_said_apart_whatever_their_names_hold():
    leaks = Leaks(["a; b.png", "c.png"], ["train", "test"], {"p; 1": ("test", "train")})
    list(leaks.watch([Pairs(*(np.array([number]) for number in (0, 1, 3, 0)))]))
    assert leaks.statements() == [
        "1 subject (p; 1 in test and train)",
        "1 pair of near-duplicates (a; b.png in train and c.png in test)",
    ]
