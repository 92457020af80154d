"""Join a table of people or scans, such as `participants.tsv`, to a manifest by matching columns."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.tables.columns import PATHS, SESSIONS, called, is_coarser, is_subject, is_sure, letters, subject_columns
from voxlex.tables.naming import date_of, session_of, stem_of
from voxlex.tables.persons import subject_keys
from voxlex.tables.reading import days_of, holds_days, identifies
from voxlex.tables.subjects import Subjects, subjects_of

RENAMED = {"group": "cohort"}
"""Columns with another name in a manifest. There, `group` names rows that must stay in one split."""

_SESSIONS = {"id", "mriid", "sessionid", "mrid", "imagedataid", "imageid", "imageuid", "seriesid", "scanid"}
_IMAGE_ID = re.compile(r"(?:^|[/_])([IS]\d{3,})(?=[/_.]|$)")  # ADNI: images and series


@dataclass(frozen=True, eq=False, kw_only=True)
class Joined:
    """A manifest that a table was joined to.

    Attributes:
        table: The manifest with further columns of text, and the same rows.
        left_out: The columns that were left out because they identify people.
        notes: Sentences for people about the subjects.
        names_subjects: Whether the subjects of all scans are from the table.
    """

    table: pd.DataFrame
    left_out: list[str]
    notes: list[str]
    names_subjects: bool


def join(manifest: pd.DataFrame, table: pd.DataFrame, *, where: str | Path, subject: str | None = None) -> Joined:
    """Add the columns of a table to a manifest, matched by path, by session, by subject and day, or by subject.

    The key is the column that matches most scans, or the most specific of several such columns. The columns `session`,
    `sequence`, `label` and `split` of the table replace those of the manifest where they are not empty, and so does a
    column of subjects that is not the key. A column `group` is renamed to `cohort`.

    Args:
        manifest: A manifest with the columns of `describe_paths`.
        table: A table of text from `read_table`.
        where: Name of the table, for messages.
        subject: Column of the table that names persons; by default, it is known by its name.

    Raises:
        DataError: If no scan matches, or a scan matches several rows that differ.
    """
    keys, rows = max(_fits(manifest, table), key=lambda fit: int((fit[1] >= 0).sum()), default=((), None))
    if rows is None or (rows < 0).all():
        names = ", ".join(table.columns)
        raise DataError(
            f"{where}: expected a path, session or subject of a scan in a row, got none in the columns {names}"
        )
    left_out = [name for name in table.columns if identifies(table[name])]
    kept = table.drop(columns=[name for name in left_out if name not in keys])
    _check_unique(kept.iloc[sorted(set(rows[rows >= 0]))], kept, keys, where=where)
    matched = pd.DataFrame({name: _matched(table[name], rows, manifest.index) for name in table.columns})
    of_people = any(is_subject(name) for name in keys)
    found = _subjects(matched, manifest, keys=keys, where=where, chosen=subject, of_people=of_people)
    result = manifest.assign(subject=found.values)
    known = {called(table.columns, own): own for own in ("sequence", "label", "split")}
    for name in table.columns:
        if name in keys or name in left_out or name in ("path", "slice", found.column):
            continue
        own = known.get(name, name)
        if own in manifest.columns and own not in RENAMED:
            result[own] = matched[name].where(matched[name] != "", manifest[own])
        else:
            result[RENAMED.get(own, own)] = matched[name]
    from_table = found.column is not None and bool((matched[found.column] != "").all())
    left_out += [found.column] if found.column and found.hidden and found.column not in left_out else []
    return Joined(table=result, left_out=left_out, notes=list(found.notes), names_subjects=from_table)


def _matched(column: pd.Series, rows: pd.Series, index: pd.Index) -> pd.Series:
    return pd.Series(np.append(column.to_numpy(object), "")[rows], index=index)  # -1 takes the ""


def _subjects(
    matched: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    keys: tuple[str, ...],
    where: str | Path,
    chosen: str | None,
    of_people: bool,
) -> Subjects:
    """Return who the subjects are. In a table of people, only a column with fewer persons than the key counts."""
    own = manifest["subject"]
    if chosen is not None or not of_people:
        return subjects_of(matched, own, where=where, chosen=chosen, ignored=keys)
    coarser = [
        name
        for name in subject_columns(matched.drop(columns=list(keys)))
        if is_sure(name) and is_coarser(matched[name], own) and not is_coarser(own, matched[name])
    ]
    return subjects_of(matched[coarser], own, where=where) if coarser else Subjects(values=own)


def _fits(manifest: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.Series]]:
    """Yield ways to match, the most specific first: the key columns, and the row of each scan (-1 for none)."""
    names = {name: letters(name) for name in table.columns}
    subjects = [name for name in table.columns if is_subject(name)]
    for name in table.columns:
        if names[name] in PATHS:
            yield (name,), _look_up(table[name], map(_path_forms, manifest["path"]))
    for name in table.columns:
        if names[name] in _SESSIONS:
            yield (name,), _look_up(table[name], _session_forms(manifest))
    for visit in (name for name in table.columns if names[name] in SESSIONS):
        for subject in subjects:
            pairs = _bare(table[subject]) + " " + _bare(table[visit])
            own = _bare(manifest["subject"]) + " " + _bare(manifest["session"])
            yield (subject, visit), _look_up(pairs, ((pair,) for pair in own))
    for day in (name for name in table.columns if subjects and holds_days(table[name])):
        own = _bare(manifest["subject"]) + " " + [date_of(session_of(path)) for path in manifest["path"]]
        for day_first in (False, True):
            pairs = _bare(table[subjects[0]]) + " " + days_of(table[day], day_first=day_first)
            yield (subjects[0], day), _look_up(pairs.where(~pairs.str.endswith(" "), ""), ((pair,) for pair in own))
    for name in subjects:
        yield (name,), _look_up(_bare(table[name]), map(_subject_forms, manifest["subject"]))
    for name in subjects:  # in another spelling, such as "7" for "007"
        keys = pd.Series(subject_keys(list(table[name])), dtype=object)
        yield (name,), _look_up(keys, ((key,) if key else () for key in subject_keys(list(manifest["subject"]))))


def _look_up(keys: pd.Series, forms: Iterable[tuple[str, ...]]) -> pd.Series:
    rows = {key: row for row, key in reversed(list(enumerate(keys))) if key}
    return pd.Series([next((rows[form] for form in wanted if form in rows), -1) for wanted in forms])


def _path_forms(path: str) -> tuple[str, ...]:
    name = path.rpartition("/")[2]
    return (path, f"./{path}", path.replace("/", "\\"), name, stem_of(name))


def _session_forms(manifest: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for path, subject, session in zip(manifest["path"], manifest["subject"], manifest["session"], strict=True):
        images = tuple(reversed(_IMAGE_ID.findall(path)))
        yield (*images, f"{subject}_{session}", stem_of(path)) if subject and session else images


def _subject_forms(subject: str) -> tuple[str, ...]:
    # IXI's own table says 2 for IXI002.
    number = (str(int(subject[3:])),) if re.fullmatch(r"IXI\d+", subject) else ()
    return (re.sub(r"^sub-", "", subject, flags=re.IGNORECASE), *number) if subject else ()


def _bare(column: pd.Series) -> pd.Series:
    return column.str.replace(r"^(?:sub|ses)-", "", case=False, regex=True)


def _check_unique(used: pd.DataFrame, table: pd.DataFrame, keys: tuple[str, ...], *, where: str | Path) -> None:
    names = list(keys)
    same_keys = table.drop_duplicates().merge(used[names].drop_duplicates(), on=names)
    several = int((same_keys[names].value_counts() > 1).sum())
    if several:
        raise DataError(
            f"{where}: expected one row for each {' and '.join(keys)}, got {several} with several different rows; "
            "add a column with the session or the path"
        )
