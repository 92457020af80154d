"""The index of a data set: a table with a row for each scan of a folder or of a user's table."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.scans.listing import list_scans
from voxlex.tables.joining import RENAMED, join
from voxlex.tables.layouts import describe_paths, folder_splits, number_visits, published_splits
from voxlex.tables.naming import is_table
from voxlex.tables.reading import identifies, named_splits, read_table, typed

INDEX_COLUMNS = ("path", "subject", "session", "sequence", "slice", "label", "group")
"""Columns of every manifest, in this order. Other columns follow."""

PARTICIPANTS = "participants.tsv"
"""Name of the BIDS table that lies beside the folders of subjects."""

_PATHS = ("path", "file", "filename", "filepath", "file_name", "file_path", "image", "image_path", "scan")
_SUBJECTS = ("subject", "subject_id", "participant_id", "participant", "patient_id", "patient")
_SESSIONS = ("session", "session_id", "ses")
_BIDS_SUBJECT = re.compile(r"(|.*?/)sub-[A-Za-z0-9]+/")
_LISTED = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """The scans of a folder or of a table.

    Attributes:
        name: Short name of the folder or the table.
        root: The folder that the paths of the table are relative to.
        table: One row for each scan, with the columns `INDEX_COLUMNS`, `split` if the source is divided, and further
            columns of the source: numbers (NaN for unknown) or text ("" for unknown).

            - `path`: path relative to `root`, with forward slashes; it does not lead out of `root`;
            - `subject`, `session`, `sequence`, `label`: from the source, else from the layout, else "";
            - `slice`: `Int64`, missing where unknown;
            - `group`: name of rows that must stay in one split: the subject if it is known, else the scan.
        left_out: Columns that were left out, because they contain names of persons or dates.
        notes: Notes about other facts that were left out, with the reasons.
    """

    name: str
    root: Path
    table: pd.DataFrame
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def index_source(source: str | Path, *, split_folders: bool = False) -> Index:
    """List the scans of a folder (recursively) or of a table, without opening them.

    If a folder in BIDS layout has a `participants.tsv`, its columns are joined.

    Args:
        source: The folder, or a single scan, or a table (.csv, .tsv, .parquet) with a column `path`, relative to the
            table's folder or absolute.
        split_folders: Use folders named train, validation and test as splits. By default, this is done only for layouts
            that are known to be divided by subject.

    Raises:
        DataError: If `source` is missing, cannot be read, does not contain a scan, or is inconsistent.
    """
    if is_table(source):
        return _index_table(Path(source))
    folder = Path(source)
    name = folder.resolve().name
    if folder.is_file():
        return Index(name=name, root=folder.parent, table=_ordered(describe_paths([folder.name])))
    if not folder.exists():
        raise DataError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder or a regular file, got a pipe, a device or the like")
    paths = list_scans(folder)
    if "." in paths:  # the folder itself is a series, and results are named after it
        folder = folder.resolve()
        paths = [(Path(folder.name) / path).as_posix() for path in paths]
        folder = folder.parent
    table, left_out, notes = _with_participants(folder, paths)
    splits = _splits(paths, where=folder, split_folders=split_folders)
    if splits is not None:
        table["split"] = splits
    return Index(name=name, root=folder, table=_ordered(table), left_out=left_out, notes=notes)


def join_table(index: Index, path: str | Path) -> Index:
    """Add the columns of a table, such as ages, to an index by path, session or subject; see `joining.join`.

    Raises:
        DataError: If the table cannot be read, or does not match the scans.
    """
    table, left_out = join(index.table, read_table(path), where=path)
    if "split" in table:
        splits = named_splits(table["split"], where=path)
        table = table.drop(columns="split") if splits is None else table.assign(split=splits)
    sessions = number_visits(list(table["subject"]), list(table["session"]))
    table = table.assign(session=sessions, slice=index.table["slice"])
    return replace(index, table=_ordered(table), left_out=(*index.left_out, *left_out))


def _index_table(path: Path) -> Index:
    raw = read_table(path)
    names = {name.lower(): name for name in raw.columns}
    column = next((names[name] for name in _PATHS if name in names), None)
    if column is None:
        raise DataError(f"{path}: expected a column 'path', got {', '.join(raw.columns)}")
    root, paths = _below_one_root(path, raw[column])
    table = describe_paths(paths)
    known = {column}
    for own, synonyms in (("subject", _SUBJECTS), ("session", _SESSIONS), ("sequence", ()), ("label", ())):
        name = next((names[name] for name in (own, *synonyms) if name in names), None)
        if name is not None:
            table[own] = raw[name].where(raw[name] != "", table[own])
            known.add(name)
    if "slice" in raw:
        table["slice"] = _slices(raw["slice"], where=path)
    table["session"] = number_visits(list(table["subject"]), list(table["session"]))
    extras = [name for name in raw.columns if name not in known | {"slice", "group", "split"}]
    left_out = tuple(name for name in extras if identifies(raw[name]))
    table = table.assign(**{name: raw[name] for name in extras if name not in left_out})
    splits = named_splits(raw["split"], where=path) if "split" in raw else None
    if splits is not None:
        table["split"] = splits
    table = _ordered(table)
    if "group" in raw and (raw["group"] != table["group"].where(raw["group"] != "", "")).any():
        raise DataError(
            f"{path}: the column 'group' is reserved for rows that must stay in one split. Rename it, for example to "
            f"{RENAMED['group']!r}, or give rows that belong together the same 'subject'"
        )
    return Index(name=path.resolve().stem, root=root, table=table, left_out=left_out)


def _below_one_root(table: Path, column: pd.Series) -> tuple[Path, list[str]]:
    """Find the folder that contains all scans of a table, and return it with the paths of the scans in it."""
    empty = np.flatnonzero(column == "")
    if len(empty):
        raise DataError(f"{table}: line {empty[0] + 2}: expected a path, got an empty cell")
    home = Path(os.path.normpath(table.parent.absolute()))
    places = [os.path.normpath(home / path.replace("\\", "/")) for path in column]
    twice = np.flatnonzero(pd.Series(places).duplicated())
    if len(twice):
        raise DataError(f"{table}: line {twice[0] + 2}: expected a new scan, got one that an earlier line names")
    try:
        common = os.path.commonpath([home, *places])
        if common != str(home):
            common = os.path.commonpath([str(Path(place).parent) for place in places])
    except ValueError as cause:
        raise DataError(f"{table}: expected scans on one drive, got several drives") from cause
    return (table.parent if common == str(home) else Path(common)), [
        Path(place).relative_to(common).as_posix() for place in places
    ]


def _with_participants(folder: Path, paths: list[str]) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Describe scans by their paths and by tables of participants. Also return the left-out columns and notes."""
    table = describe_paths(paths)
    left_out: list[str] = []
    notes: list[str] = []
    for above, participants in participant_tables(folder, paths):
        # Another data set in the same folder may use the same names for other people.
        inside = table["path"].str.startswith(above)
        try:
            part, names = join(table[inside].reset_index(drop=True), read_table(participants), where=participants)
        except DataError as cause:  # the user did not ask for this table, and the scans can be used without it
            notes.append(str(cause))
            continue
        table = pd.concat([part, table[~inside]], ignore_index=True)
        left_out += names
    return table.sort_values("path", ignore_index=True), tuple(left_out), tuple(notes)


def participant_tables(folder: Path, paths: list[str]) -> list[tuple[str, Path]]:
    """Find the tables beside folders of subjects, and the start of the paths below each."""
    starts = {found.group(1) for path in paths if (found := _BIDS_SUBJECT.match(path))}
    return [
        (start, folder / start / PARTICIPANTS) for start in sorted(starts) if (folder / start / PARTICIPANTS).is_file()
    ]


def _splits(paths: list[str], *, where: Path, split_folders: bool) -> list[str] | None:
    if not split_folders:
        return published_splits(paths)
    splits = folder_splits(paths)
    outside = [path for path, split in zip(paths, splits, strict=True) if not split]
    if outside:
        listed = ", ".join(outside[:_LISTED]) + (f" and {len(outside) - _LISTED} more" if outside[_LISTED:] else "")
        raise DataError(f"{where}: expected all scans in folders named train, validation or test, got {listed}")
    return splits


def _slices(column: pd.Series, *, where: Path) -> pd.Series:
    numbers = pd.to_numeric(column.where(column != "", None), errors="coerce")
    wrong = np.flatnonzero((column != "") & (numbers.isna() | (numbers != numbers.round())))
    if len(wrong):
        line = wrong[0]
        raise DataError(f"{where}: line {line + 2}: expected a whole number as slice, got {column.iat[line]!r}")
    return numbers.astype("Int64")


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(group=table["subject"].where(table["subject"] != "", table["path"]))
    more = [name for name in table.columns if name not in INDEX_COLUMNS]
    return table.assign(**{name: typed(table[name]) for name in more})[[*INDEX_COLUMNS, *more]]
