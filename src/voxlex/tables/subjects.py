"""Decide who the subject of each scan is, by columns of a table and by names of files, and say what is unknown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from voxlex.errors import DataError
from voxlex.tables.columns import (
    Contradiction,
    choose_subject,
    is_coarser,
    is_personal,
    is_sure,
    letters,
    subject_columns,
)
from voxlex.tables.folders import are_numbered
from voxlex.tables.naming import subject_of
from voxlex.tables.persons import is_persons_name, looks_like_identifiers, pseudonyms, same_subjects, subject_keys
from voxlex.tables.reading import holds_days

_LEAST_ROWS = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Subjects:
    """The subjects of some scans.

    Attributes:
        values: Subject of each scan, "" where unknown.
        column: Column of the table that they are from; None if they are not from the table.
        hidden: Whether the column identifies persons, so that numbers stand for its values.
        notes: Sentences for people.
    """

    values: pd.Series
    column: str | None = None
    hidden: bool = False
    notes: tuple[str, ...] = ()


def subjects_of(
    rows: pd.DataFrame,
    own: pd.Series,
    *,
    where: str | Path,
    guessed: Sequence[bool] | bool = False,
    chosen: str | None = None,
    ignored: Sequence[str | None] = (),
) -> Subjects:
    """Take the subjects from the columns of a table, or leave them as the names of files tell.

    A column whose name says for sure that it names persons is believed. Another one, such as "ID", is believed unless
    it gives several persons where names of files of a known pattern tell one.

    Args:
        rows: Row of the table for each scan, as text.
        own: Subject that names of files and folders tell, "" where they do not.
        where: Name of the table, for messages.
        guessed: Whether `own` is a guess.
        chosen: Column of subjects, if the user has named it.
        ignored: Columns with another meaning.

    Raises:
        DataError: If there is no column `chosen`, or columns contradict each other.
    """
    if chosen is not None:
        return _from(rows, _column(rows, chosen, where=where), own, notes=())
    rest = rows.drop(columns=[name for name in ignored if name in rows.columns])
    try:
        name, note = choose_subject(rest, subject_columns(rest))
    except Contradiction as cause:
        raise DataError(f"{where}: {cause}; name the right one with --subject, or remove the others") from cause
    notes = [note] if note else []
    if name is None:
        return Subjects(values=own, notes=tuple(_overlooked(rest, own, guessed)))
    known = (own != "") & ~pd.Series(guessed, index=own.index)
    torn = not is_coarser(_keys(rest[name])[known], _keys(own)[known])
    if torn and not is_sure(name):
        notes = [
            f"subjects: taken from the names of files, and not from the column {name!r}, which has several values for "
            "one subject"
        ]
        return Subjects(values=own, notes=tuple(notes))
    if torn:
        notes.append(
            f"subjects: the column {name!r} has several values for one subject that names of files tell, and is used"
        )
    values = rest[name]
    if not is_sure(name) and len(values) >= _LEAST_ROWS and values[values != ""].is_unique:
        notes.append(
            f"subjects: every scan has its own value in the column {name!r}; if several scans are of one person, "
            "choose another column with --subject"
        )
    return _from(rest, name, own, notes=notes)


def unknown_subjects(table: pd.DataFrame) -> list[str]:
    """Return sentences for people about scans whose subject is unknown, and about subjects in several spellings.

    Args:
        table: A manifest with the columns `path` and `subject`.
    """
    scans = table.drop_duplicates("path")
    notes = []
    subjects = list(scans["subject"])
    spelled = sorted(
        {(first, name) for first, name in zip(same_subjects(subjects), subjects, strict=True) if first != name}
    )
    if spelled:
        notes.append(
            f"subjects: {len({first for first, _ in spelled}):,} are spelled in several ways, such as "
            f"{spelled[0][0]!r} and {spelled[0][1]!r}, and count as one each"
        )
    unknown = [path for path, subject in zip(scans["path"], subjects, strict=True) if not subject]
    if unknown and len(scans) > 1:
        numbered = (
            "The files are numbered one after another, as slices of a volume are. " if are_numbered(unknown) else ""
        )
        notes.append(
            f"subjects: unknown for {len(unknown):,} of {len(scans):,} scans; scans of one person may lie in several "
            f"splits, and then figures of held-out scans are too good. {numbered}A table with a column 'subject' says "
            "who is who; 'voxlex data index' writes one to fill in"
        )
    return notes


def _from(rows: pd.DataFrame, name: str, own: pd.Series, *, notes: Sequence[str]) -> Subjects:
    values = rows[name]
    known = values[values != ""]
    hidden = is_personal(name) or holds_days(known) or bool(known.size and known.map(is_persons_name).mean() >= 0.5)
    if hidden:
        keys = _keys(values)
        values = keys.map({"": "", **pseudonyms(keys)})
        notes = [*notes, f"subjects: numbers stand for the values of the column {name!r}, which identify people"]
    elif known.map(subject_of).astype(bool).all():
        values = values.map(
            lambda value: subject_of(value) if value else ""
        )  # "OAS1_0001_MR1" is a session of OAS1_0001
    return Subjects(values=values.where(values != "", own), column=name, hidden=hidden, notes=tuple(notes))


def _overlooked(rows: pd.DataFrame, own: pd.Series, guessed: Sequence[bool] | bool) -> list[str]:
    """Return notes about columns that seem to name persons, if it is not known who they are."""
    if ((own != "") & ~pd.Series(guessed, index=own.index)).all():
        return []
    found = [name for name in rows.columns if looks_like_identifiers(rows[name], name=letters(name))]
    return [
        f"subjects: the column {name!r} ({rows[name][rows[name] != ''].nunique():,} values in {len(rows):,} rows) may "
        f"name persons, but is not used; if it does, add --subject {name!r}, or call it 'subject'"
        for name in found
    ]


def _column(rows: pd.DataFrame, chosen: str, *, where: str | Path) -> str:
    if chosen in rows.columns:
        return chosen
    alike = [name for name in rows.columns if letters(name) == letters(chosen) and letters(chosen)]
    if len(alike) != 1:
        raise DataError(f"{where}: --subject: expected one of the columns {', '.join(rows.columns)}, got {chosen!r}")
    return alike[0]


def _keys(values: pd.Series) -> pd.Series:
    return pd.Series(subject_keys(list(values)), index=values.index, dtype=object)
