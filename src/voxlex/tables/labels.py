"""Labels as people write them: spellings of one label, and columns that may be meant as the label."""

import re
import unicodedata
from collections.abc import Sequence

import pandas as pd

from voxlex.tables.columns import find

_COLUMNS = (
    "class",
    "classes",
    "classname",
    "diagnosis",
    "diagnose",
    "dx",
    "category",
    "target",
    "tumortype",
    "condition",
)
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_LISTED = 3


def unified(labels: pd.Series) -> pd.Series:
    """Write labels alike that are the same text in two encodings ("é"), or the same number ("1.0" beside "1")."""
    labels = labels.map(lambda label: unicodedata.normalize("NFC", label))
    known = set(labels)
    whole = {label: found[1] for label in known if (found := _WHOLE.fullmatch(label)) and found[1] in known}
    return labels.map(lambda label: whole.get(label, label))


def notes_on_labels(labels: Sequence[str]) -> list[str]:
    """Return a sentence for people if labels differ in nothing but case, spaces and signs, and count as several."""
    spellings: dict[str, set[str]] = {}
    for label in set(labels) - {""}:
        spellings.setdefault(_BETWEEN_WORDS.sub("", label.casefold()) or label, set()).add(label)
    several = [sorted(found) for _, found in sorted(spellings.items()) if len(found) > 1]
    if not several:
        return []
    listed = "; ".join(" and ".join(map(repr, found)) for found in several[:_LISTED])
    return [f"labels: some differ only in how they are written, and count as different: {listed}. Write them alike"]


def note_without_label(columns: Sequence[str]) -> list[str]:
    """Return a sentence about a column that may be meant as the label of a table without labels."""
    column = find(columns, _COLUMNS)
    if column is None:
        return []
    return [
        f"label: unknown; if the column {column!r} holds it, call it 'label', or condition the prior on it with "
        f"--prior.condition-columns {column!r}"
    ]
