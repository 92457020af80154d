"""Spellings of one person, values that look like identifiers, and names that identify somebody."""

import pandas as pd
import pytest

from voxlex.tables.persons import (
    is_persons_name,
    looks_like_identifiers,
    names_of_persons,
    pseudonyms,
    same_subjects,
    subject_keys,
)


@pytest.mark.parametrize(
    "spellings",
    [["7", "007", " 7 ", "7.0"], ["P07", "p7", "P-07", "p_07 ", "P 07"], ["sub-01", "01", "SUB-1"], ["Anna", "ANNA "]],
)
def test_spellings_of_one_person(spellings: list[str]) -> None:
    assert len(set(subject_keys(spellings))) == 1
    assert set(same_subjects(spellings)) == {min(spellings)}


@pytest.mark.parametrize("others", [("1-11", "11-1"), ("P1", "P10"), ("0", "00a"), ("1.5", "15"), ("a1b2", "a12b")])
def test_other_persons(others: tuple[str, str]) -> None:
    assert len(set(subject_keys(others))) == 2


def test_an_unknown_person_is_nobody() -> None:
    assert subject_keys(["", "x"]) == ["", "x"]
    assert same_subjects(["", "x", ""]) == ["", "x", ""]


@pytest.mark.parametrize("name", ["MUELLER^HANS", "MUELLER^HANS^^^Dr", "O'NEIL^EVA", "Mueller^", "Mueller, Hans"])
def test_names_of_persons(name: str) -> None:
    assert is_persons_name(name)


@pytest.mark.parametrize("text", ["left, frontal", "Mueller", "T1, T2", "glioma", "10^5", "a^2", "", "P01"])
def test_other_texts(text: str) -> None:
    assert not is_persons_name(text)


def test_names_are_found_in_paths_and_their_numbers_do_not_tell_the_order() -> None:
    assert names_of_persons("x/MUELLER^HANS_t1_003.png") == ["MUELLER^HANS"]
    numbers = pseudonyms(["Abel", "Bauer", "Conrad", "Dietz", "Abel", ""])
    assert sorted(numbers.values()) == ["person-001", "person-002", "person-003", "person-004"]
    assert numbers == pseudonyms(["Dietz", "Conrad", "Bauer", "Abel"])
    assert list(numbers.values()) != [numbers[name] for name in sorted(numbers, reverse=True)]


def column(values: list) -> pd.Series:
    return pd.Series([str(value) for value in values], dtype=object)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([f"x{n // 3:03d}" for n in range(24)], True),
        ([1000 + n // 3 for n in range(24)], True),
        ([n // 4 for n in range(24)], True),  # as many rows each, together
        ([n % 4 for n in range(24)], False),
        ([f"x{n:03d}" for n in range(24)], False),  # nobody twice
        (["F", "M"] * 12, False),
        ([f"{60 + n % 7}.5" for n in range(24)], False),
        ([f"a scan of day {n // 3} with contrast" for n in range(24)], False),
        (["site1"] * 12 + ["site2"] * 12, False),
    ],
)
def test_values_that_look_like_identifiers(values: list, found: bool) -> None:
    assert looks_like_identifiers(column(values), name="owner") is found
    assert not looks_like_identifiers(column(values), name="age")
