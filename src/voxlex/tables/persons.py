"""Names of persons: spellings of one subject, values that look like identifiers, and names that identify somebody."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd

_SEPARATORS = re.compile(r"[\s_-]+")
_PADDING = re.compile(r"(?<![\d.])0+(?=\d)")
_WHOLE = re.compile(r"(\d+)\.0+")

# "MUELLER^HANS" as in DICOM, or "Mueller, Hans".
_PART = r"[^\W\d_](?:['.-]?[^\W\d_])+\.?"
_CARETS = re.compile(rf"{_PART}\^(?:{_PART}|[^\W\d_])?(?:\^(?:{_PART})?)*")
_COMMA = re.compile(r"[^\W\d_][^\W\d_'-]+(?: [^\W\d_'-]+)*, ?[^\W\d_][^\W\d_'. -]*(?: [^\W\d_'.-]+)*")

_MEASURED = re.compile(
    r"age|alter|weight|height|bmi|years?|education|educ|score|mmse|moca|cdr|updrs|hamd|iq|volume|tiv|etiv|nwbv|asf|ses|"
    r"slices?|index|frame|tr|te|ti|flipangle|thickness|spacing|rows?|columns?|width|depth|days?|months?|weeks?|duration|"
    r"count|size|run|echo|grade|stage|class|label|diagnosis|dx|group|sex|gender|site|scanner|center|centre|"
    r"manufacturer|field|fieldstrength|model|sequence|modality|split|fold|seed|hand|handedness|ethnicity|race"
)
_LEAST_ROWS, _LEAST_PERSONS = 8, 4


def subject_keys(subjects: Sequence[str]) -> list[str]:
    """Return a key for each subject that is equal for all spellings of one name; "" for "".

    Case, spaces around, the kind of separator, leading zeros of numbers and a "sub-" in front do not matter: "P07",
    "p7" and "P-07 " are one person, and so are "7", "007" and "7.0".
    """
    keys: dict[str, str] = {}
    for subject in set(subjects):
        key = unicodedata.normalize("NFKC", subject).strip().casefold().removeprefix("sub-")
        whole = _WHOLE.fullmatch(key)
        key = _SEPARATORS.sub("-", whole.group(1) if whole else key).strip("-")
        key = re.sub(r"(?<=[a-z])-(?=\d)", "", key)
        keys[subject] = _PADDING.sub("", key) or subject
    return [keys[subject] for subject in subjects]


def same_subjects(subjects: Sequence[str]) -> list[str]:
    """Return for each subject the first spelling, in order of the alphabet, of all that name the same person."""
    keys = subject_keys(subjects)
    first: dict[str, str] = {}
    for key, subject in zip(keys, subjects, strict=True):
        first[key] = min(subject, first.get(key, subject))
    return [first[key] for key in keys]


def pseudonyms(names: Iterable[str], *, what: str = "person") -> dict[str, str]:
    """Return a number for each name: "person-001" and so on, in an order that says nothing about the names."""
    names = sorted(set(names) - {""}, key=lambda name: blake2b(name.encode("utf-8", "surrogateescape")).digest())
    width = max(3, len(str(len(names))))
    return {name: f"{what}-{number:0{width}d}" for number, name in enumerate(names, start=1)}


def is_persons_name(text: str) -> bool:
    """Tell whether a text looks like the name of a person: "MUELLER^HANS" or "Mueller, Hans"."""
    if _CARETS.fullmatch(text.replace(" ", ".")):
        return True
    family, _, given = text.partition(",")
    return bool(_COMMA.fullmatch(text)) and family[:1].isupper() and given.strip()[:1].isupper()


def names_of_persons(text: str) -> list[str]:
    """Find names such as "MUELLER^HANS" in a part of a path."""
    return [found.group() for found in _CARETS.finditer(text)] if "^" in text else []


def looks_like_identifiers(column: pd.Series, *, name: str) -> bool:
    """Tell whether a column of text seems to name persons: many values of one form, most of them in several rows.

    Args:
        column: The values, "" where unknown.
        name: The letters of the name of the column. Names of measurements, such as "age", are never identifiers.
    """
    known = column[column != ""]
    if len(known) < _LEAST_ROWS or _MEASURED.fullmatch(name):
        return False
    times = known.value_counts()
    repeated = times[times > 1]
    if len(times) < _LEAST_PERSONS or repeated.sum() < 0.5 * len(known) or times.max() > max(len(known) / 3, 2):
        return False
    values = times.index.to_series()
    if values.str.fullmatch(r"[+-]?\d*[.,]\d+").any() or values.str.contains(r"\S\s+\S+\s+\S").mean() > 0.2:
        return False
    if not values.str.contains(r"\d").mean() > 0.8:
        return False
    if values.str.fullmatch(r"[+-]?\d+").all() and not values.str.fullmatch(r"0\d+|\d{4,}").all():
        # Small numbers are measurements, unless the rows of each value lie together as those of a person do.
        together = int((known.to_numpy()[1:] != known.to_numpy()[:-1]).sum()) + 1 == len(times)
        return together and float(np.std(times)) < 0.5 * float(np.mean(times))
    forms = values.str.replace(r"\d+", "#", regex=True).str.replace(r"[a-zA-Z]", "a", regex=True).value_counts()
    return bool(forms.head(3).sum() >= 0.5 * len(values))
