"""What the files of a data set do not say, what follows from it, and what to do."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd


class Unknown(NamedTuple):
    """A fact that is unknown for some scans.

    Attributes:
        fact: What is unknown, such as "subject".
        scans: Number of scans for which it is unknown.
        total: Number of scans that can be used.
        follows: What follows from it.
        advice: What to do.
    """

    fact: str
    scans: int
    total: int
    follows: str
    advice: str

    def __str__(self) -> str:
        scans = "all" if self.scans == self.total else f"{self.scans:,} of {self.total:,}"
        return f"{self.fact}: unknown for {scans} scans. {self.follows} {self.advice}"


_TABLE = "Fill the column {!r} of the table that 'voxlex data index' writes."

_MEANINGS = {
    "subject": (
        "Scans of one person may lie in several splits, and then figures of held-out scans are too good.",
        _TABLE.format("subject"),
    ),
    "session": ("Visits of one person cannot be told apart.", _TABLE.format("session")),
    "label": ("A prior cannot be asked for a class.", _TABLE.format("label")),
    "sequence": ("Contrasts are mixed, and 'data index --sequence' cannot choose.", _TABLE.format("sequence")),
    "slice": ("The place of the picture in the head is not known.", _TABLE.format("slice")),
    "spacing": (
        "Lengths in mm are not known. Pictures are compared and resized by their pixels.",
        "Nothing is needed for pictures; for volumes, give it with --reading.spacing-mm.",
    ),
    "thickness": (
        "The thickness of a single slice is taken to be the distance of its pixels.",
        "Nothing is needed for slices.",
    ),
    "orientation": (
        "Which side is the left is not known, and the axes are taken as they are stored.",
        "Look at the pictures, and convert files that lie otherwise.",
    ),
}

OF_PICTURES = ("spacing", "orientation")
"""What no picture file says of a scan."""


def unknowns(table: pd.DataFrame, stated: Sequence[Sequence[str]]) -> list[Unknown]:
    """List what is unknown about the scans of a data set.

    Args:
        table: A manifest with a row for each image that can be used. Images of one path are one scan.
        stated: For each row, what the file does not say, such as "spacing".
    """
    rows = table.assign(unknown=pd.Series(list(stated), index=table.index, dtype=object)).drop_duplicates("path")
    if rows.empty:
        return []
    counts: Counter[str] = Counter()
    for fact in ("subject", "session", "label", "sequence"):
        if fact in rows:
            counts[fact] = int((rows[fact] == "").sum())
    if "slice" in rows:
        picture = rows["unknown"].map(lambda words: set(OF_PICTURES) <= set(words))
        counts["slice"] = int((rows["slice"].isna() & picture).sum())
    for words in rows["unknown"]:
        counts.update(dict.fromkeys(words, 1))
    return [
        Unknown(fact, count, len(rows), *_MEANINGS.get(fact, ("", "See docs/data/scans.md.")))
        for fact, count in counts.items()
        if count
    ]
