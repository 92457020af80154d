"""Join a table of people or scans, such as `participants.tsv`, to a manifest by matching columns."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.tables.naming import date_of, session_of, stem_of
from voxlex.tables.reading import days_of, holds_days, identifies

RENAMED = {"group": "cohort"}
"""Columns with another name in a manifest. There, `group` names rows that must stay in one split."""

_PATHS = {"path", "file", "filename", "filepath", "image", "imagepath", "scan"}
_SESSIONS = {"id", "mriid", "sessionid", "mrid", "imagedataid", "imageid", "imageuid", "seriesid", "scanid"}
_SUBJECTS = {"subject", "subjectid", "participant", "participantid", "patient", "patientid", "sub", "ptid", "ixiid"}
_SUBJECTS |= {"id", "case", "caseid", "oasisid"}
_VISITS = {"session", "sessionid", "ses", "visit"}
_IMAGE_ID = re.compile(r"(?:^|[/_])([IS]\d{3,})(?=[/_.]|$)")  # ADNI: images and series


def join(manifest: pd.DataFrame, table: pd.DataFrame, *, where: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """Add the columns of a table to a manifest, matched by path, by session, by subject and day, or by subject.

    The key is the column that matches most scans, or the most specific of several such columns. The columns `subject`,
    `session`, `sequence`, `label` and `split` of the table replace those of the manifest where they are not empty. A
    column `group` is renamed to `cohort`.

    Args:
        manifest: A manifest with the columns of `describe_paths`.
        table: A table of text from `read_table`.
        where: Name of the table, for messages.

    Returns:
        The manifest with further columns of text and the same rows, and the names of the columns that were left out
        because they identify people.

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
    result = manifest.copy()
    for name in table.columns:
        if name in keys or name in left_out or name in ("path", "slice"):
            continue
        values = pd.Series(np.append(table[name].to_numpy(object), "")[rows], index=manifest.index)  # -1 takes the ""
        if name in manifest.columns and name not in RENAMED:
            result[name] = values.where(values != "", manifest[name])
        else:
            result[RENAMED.get(name, name)] = values
    return result, left_out


def _fits(manifest: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.Series]]:
    """Yield ways to match, the most specific first: the key columns, and the row of each scan (-1 for none)."""
    names = {name: re.sub(r"[^a-z]", "", name.lower()) for name in table.columns}
    subjects = [name for name in table.columns if names[name] in _SUBJECTS]
    for name in table.columns:
        if names[name] in _PATHS:
            yield (name,), _look_up(table[name], map(_path_forms, manifest["path"]))
    for name in table.columns:
        if names[name] in _SESSIONS:
            yield (name,), _look_up(table[name], _session_forms(manifest))
    for visit in (name for name in table.columns if names[name] in _VISITS):
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
    return (subject.removeprefix("sub-"), *number) if subject else ()


def _bare(column: pd.Series) -> pd.Series:
    return column.str.replace(r"^(?:sub|ses)-", "", regex=True)


def _check_unique(used: pd.DataFrame, table: pd.DataFrame, keys: tuple[str, ...], *, where: str | Path) -> None:
    names = list(keys)
    same_keys = table.drop_duplicates().merge(used[names].drop_duplicates(), on=names)
    several = int((same_keys[names].value_counts() > 1).sum())
    if several:
        raise DataError(
            f"{where}: expected one row for each {' and '.join(keys)}, got {several} with several different rows; "
            "add a column with the session or the path"
        )
