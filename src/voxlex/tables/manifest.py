"""The index of a data set: a table with a row for each scan of a folder or of a user's table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.names import printable, resolved
from voxlex.scans.listing import list_scans
from voxlex.scans.places import InMemory, Place
from voxlex.tables.columns import PATHS, SESSIONS, called, find, split_column
from voxlex.tables.joining import RENAMED, join
from voxlex.tables.label_maps import notes_on_label_maps
from voxlex.tables.labels import note_without_label, notes_on_labels, unified
from voxlex.tables.layouts import anonymous, describe_paths, folder_splits, number_visits, published_splits, read_layout
from voxlex.tables.naming import day_in, is_table, split_named
from voxlex.tables.paths import below_one_root, copied_here, printable_paths
from voxlex.tables.persons import same_subjects
from voxlex.tables.reading import check_no_workbook, holds_days, identifies, named_splits, read_cells, typed
from voxlex.tables.subjects import subjects_of, unknown_subjects

INDEX_COLUMNS = ("path", "subject", "session", "sequence", "slice", "label", "group")
"""Columns of every manifest, in this order. Other columns follow."""

RESERVED = (
    *("height", "width", "bit_depth", "intensity_low", "intensity_high", "view", "stored_shape", "stored_affine"),
    *("stored_dtype", "stored_slope", "stored_intercept", "stored_space", "centre", "spacing_mm", "unknown"),
)
"""Columns of a prepared set that describe its images. A column of people of such a name gets "_given" behind it."""

PARTICIPANTS = "participants.tsv"
"""Name of the BIDS table that lies beside the folders of subjects."""

_BIDS_SUBJECT = re.compile(r"(|.*?/)sub-[A-Z0-9]+/", re.IGNORECASE)
_LISTED = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """The scans of a folder or of a table.

    Attributes:
        name: Short name of the folder or the table.
        root: The folder that the paths of the table are relative to.
        table: One row for each scan, with the columns `INDEX_COLUMNS`, `split` if the source is divided, and further
            columns of the source: numbers (NaN for unknown) or text ("" for unknown).

            - `path`: printable path relative to `root`, with forward slashes; it does not lead out of `root`;
            - `subject`, `session`, `sequence`, `label`: from the source, else from the layout, else "";
            - `slice`: `Int64`, missing where unknown;
            - `group`: name of rows that must stay in one split: the subject if it is known, else the scan.
        left_out: Columns that were left out, because they contain names of persons or dates.
        remarks: Sentences about facts that were guessed, or left out.
        passed_over: Sentences about files that look like scans and do not count: the results of the program, pipes, and
            what lies in folders that cannot be listed.
        places: Where each scan is that is not found at its `path`: on the disk under a name that cannot be printed, or
            in memory.
    """

    name: str
    root: Path
    table: pd.DataFrame
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def place(self, path: str) -> Place:
        """Return where the scan of a row is."""
        return self.places.get(path, self.root / path)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was guessed or left out, and about subjects that are unknown."""
        names = ", ".join(self.left_out)
        left_out = [f"left out, because names and dates identify people: {names}"] if names else []
        renamed = [
            f"the column {name!r} is called '{name}_given', because {name!r} describes images"
            for name in RESERVED
            if f"{name}_given" in self.table
        ]
        maps, labels = notes_on_label_maps(list(self.table["path"])), notes_on_labels(list(self.table["label"]))
        return (*self.remarks, *left_out, *renamed, *maps, *labels, *unknown_subjects(self.table))


def index_source(source: str | Path, *, split_folders: bool = False, subject: str | None = None) -> Index:
    """List the scans of a folder (recursively) or of a table, without opening them.

    If a folder in BIDS layout has a `participants.tsv`, its columns are joined.

    Args:
        source: The folder, or a single scan, or a table (.csv, .tsv, .parquet) with a column `path`, relative to the
            table's folder or absolute. Paths may be addresses, such as "s3://bucket/a.png".
        split_folders: Use folders named train, validation and test as splits. By default, this is done only for layouts
            that are known to be divided by subject.
        subject: Column of the table that names persons; by default, it is known by its name.

    Raises:
        DataError: If `source` is missing, cannot be read, does not contain a scan, or is inconsistent.
    """
    check_no_workbook(Path(source))
    if is_table(source):
        return _index_table(Path(source), subject=subject)
    if subject is not None:
        raise DataError(f"{source}: --subject: expected a table with a column {subject!r}, got a folder or a scan")
    folder = Path(source)
    name = printable(anonymous(resolved(folder).name))
    if folder.is_file():
        paths, places = printable_paths([folder.name], root=folder.parent)
        return Index(name=name, root=folder.parent, table=_ordered(describe_paths(paths)), places=places)
    if not folder.exists():
        raise DataError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder or a regular file, got a pipe, a device or the like")
    paths, passed_over = list_scans(folder)
    if "." in paths:  # the folder itself is a series, and results are named after it
        folder = resolved(folder)
        paths = [(Path(folder.name) / path).as_posix() for path in paths]
        folder = folder.parent
    paths, places = printable_paths(paths, root=folder)
    table, left_out, remarks = _with_participants(folder, paths)
    splits = _splits(paths, where=folder, split_folders=split_folders)
    if splits is not None:
        table["split"] = splits
    return Index(
        name=name,
        root=folder,
        table=_ordered(table),
        left_out=left_out,
        remarks=remarks,
        passed_over=tuple(passed_over),
        places=places,
    )


def index_images(images: Mapping[str, InMemory]) -> Index:
    """List scans in memory as if they were the files of a folder.

    Args:
        images: The scans by their names, from `held_by_name`.
    """
    layout = read_layout(list(images))
    table, splits = layout.table, published_splits(list(images))
    if splits is not None:
        table["split"] = splits
    name = "images"
    return Index(name=name, root=Path(name), table=_ordered(table), remarks=tuple(layout.notes), places=dict(images))


def join_table(index: Index, path: str | Path, *, subject: str | None = None) -> Index:
    """Add the columns of a table, such as ages, to an index by path, session or subject; see `joining.join`.

    Raises:
        DataError: If the table cannot be read, or does not match the scans.
    """
    cells = read_cells(path)
    joined = join(index.table, cells.table, where=path, subject=subject)
    table = joined.table
    if "split" in table:
        splits = named_splits(table["split"], where=path)
        table = table.drop(columns="split") if splits is None else table.assign(split=splits)
    sessions = number_visits(list(table["subject"]), list(table["session"]))
    table = table.assign(session=sessions, slice=index.table["slice"])
    before = [note for note in index.remarks if not (joined.names_subjects and note.startswith("subjects:"))]
    return replace(
        index,
        table=_ordered(table),
        left_out=(*index.left_out, *joined.left_out),
        remarks=(*before, *cells.notes, *joined.notes),
    )


def _index_table(path: Path, *, subject: str | None) -> Index:
    cells = read_cells(path)
    raw = cells.table
    column = find(list(raw.columns), PATHS)
    if column is None:
        raise DataError(f"{path}: expected a column 'path', got {', '.join(raw.columns)}")
    root, paths = below_one_root(path, copied_here(path, raw[column]), cells.lines)
    paths, places = printable_paths(paths, root=root)
    layout = read_layout(paths)
    table = layout.table
    session = find([name for name in raw.columns if name != "SES"], SESSIONS)  # SES is the socioeconomic status
    split = split_column(raw, split_named)
    label, sequence, number = (called(raw.columns, name) for name in ("label", "sequence", "slice"))
    other = (column, session, split, label, sequence, number, "group")  # these have another meaning than subjects
    found = subjects_of(raw, table["subject"], where=path, guessed=layout.guessed, chosen=subject, ignored=other)
    table["subject"] = found.values
    dated = [name for name in (label, sequence) if name is not None and identifies(raw[name])]
    for own, name in (("session", session), ("sequence", sequence), ("label", label)):
        if name is not None and name not in dated:
            table[own] = raw[name].where(raw[name] != "", table[own])
    if session is not None and holds_days(raw[session]):
        table["session"] = [day_in(name.replace("/", "-")) or name for name in table["session"]]
    if number is not None:
        table["slice"] = _slices(raw[number], where=path, lines=cells.lines)
    table["session"] = number_visits(list(table["subject"]), list(table["session"]))
    extras = [name for name in raw.columns if name not in {*other, found.column, "subject"}]
    left_out = [*dated, *(name for name in extras if identifies(raw[name]))]
    left_out += [found.column] if found.column and found.hidden else []
    table = table.assign(**{name: raw[name] for name in extras if name not in left_out})
    splits = named_splits(raw[split], where=path, lines=cells.lines) if split else None
    if splits is not None:
        table["split"] = splits
    table = _ordered(table)
    _check_groups(path, raw, table)
    unlabelled = [] if (table["label"] != "").any() else note_without_label(list(raw.columns))
    guesses = [] if found.column and (raw[found.column] != "").all() else layout.notes
    return Index(
        name=printable(anonymous(resolved(path).stem)),
        root=root,
        table=table,
        left_out=tuple(left_out),
        places=places,
        remarks=(*cells.notes, *guesses, *found.notes, *unlabelled),
    )


def _check_groups(path: Path, raw: pd.DataFrame, table: pd.DataFrame) -> None:
    if "group" in raw and (raw["group"] != table["group"].where(raw["group"] != "", "")).any():
        raise DataError(
            f"{path}: the column 'group' is reserved for rows that must stay in one split. Rename it, for example to "
            f"{RENAMED['group']!r}, or give rows that belong together the same 'subject'"
        )


def _with_participants(folder: Path, paths: list[str]) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Describe scans by their paths and by tables of participants. Also return the left-out columns and remarks."""
    layout = read_layout(paths)
    table, notes = layout.table, layout.notes
    left_out: list[str] = []
    for above, participants in participant_tables(folder, paths):
        # Another data set in the same folder may use the same names for other people.
        inside = table["path"].str.startswith(above)
        try:
            cells = read_cells(participants)
            joined = join(table[inside].reset_index(drop=True), cells.table, where=participants)
        except DataError as cause:  # the user did not ask for this table, and the scans can be used without it
            # Without the folder: notes are kept in results, which other people may see.
            notes.append(f"not joined: {str(cause).replace(str(participants), PARTICIPANTS)}")
            continue
        table = pd.concat([joined.table, table[~inside]], ignore_index=True)
        left_out += joined.left_out
        notes += [*cells.notes, *joined.notes]
    if "split" in table:
        table, more = _with_splits(table)
        notes += more
    return table.sort_values("path", ignore_index=True), tuple(left_out), tuple(notes)


def _with_splits(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the splits that tables of participants name if each scan has one; else say why not."""
    try:
        splits = named_splits(table["split"].fillna(""), where=PARTICIPANTS)
    except DataError:
        return table.drop(columns="split"), [
            f"not used: the column 'split' of {PARTICIPANTS}, which does not name a split for every scan"
        ]
    return (table.drop(columns="split") if splits is None else table.assign(split=splits)), []


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
    if "train" not in splits and any(splits):  # only what is held out is named; the rest is for training
        return [split or "train" for split in splits]
    outside = [path for path, split in zip(paths, splits, strict=True) if not split]
    if outside:
        listed = ", ".join(outside[:_LISTED]) + (f" and {len(outside) - _LISTED} more" if outside[_LISTED:] else "")
        raise DataError(f"{where}: expected all scans in folders named train, validation or test, got {listed}")
    return splits


def _slices(column: pd.Series, *, where: Path, lines: np.ndarray) -> pd.Series:
    numbers = pd.to_numeric(column.where(column != "", None), errors="coerce")
    wrong = np.flatnonzero((column != "") & (numbers.isna() | (numbers != numbers.round())))
    if len(wrong):
        row = wrong[0]
        raise DataError(f"{where}: line {lines[row]}: expected a whole number as slice, got {column.iat[row]!r}")
    return numbers.astype("Int64")


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    same = pd.Series(same_subjects(list(table["subject"])), index=table.index, dtype=object)
    table = table.assign(label=unified(table["label"]), group=same.where(same != "", table["path"]))
    table.columns = [f"{name}_given" if name in RESERVED else name for name in table.columns]
    more = [name for name in table.columns if name not in INDEX_COLUMNS]
    return table.assign(**{name: typed(table[name]) for name in more})[[*INDEX_COLUMNS, *more]]
