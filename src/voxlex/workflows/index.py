"""Write down what is known of the scans of a source, as a table to look at, to change, and to train on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.tables.manifest import INDEX_COLUMNS, Index, index_source, join_table
from voxlex.tables.reading import TABLE_SUFFIXES

_SHOWN = 8


def index(
    source: str | Path,
    *,
    out: Path,
    table: Path | None = None,
    sequences: Sequence[str] = (),
    split_folders: bool = False,
    overwrite: bool = False,
) -> Index:
    """Write the table of a source.

    Args:
        source: Folder of scans, or a table of them.
        out: A .csv, .tsv or .parquet file. Its paths are relative to its folder where the scans lie in that, else
            absolute.
        table: Another table to join, by path, session or subject.
        sequences: Keep only scans of these; all, if there are none.
        split_folders: Believe folders named train, validation and test.
        overwrite: Replace a file that is there.

    Raises:
        DataError: If the source or the table cannot be used, nothing is left, or `out` is in the way or cannot be
            written.
    """
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{out}: expected a name that ends in {', '.join(TABLE_SUFFIXES)}")
    if out.exists() and not overwrite:
        raise DataError(f"{out}: exists already; choose another name, or replace it with --overwrite")
    found = index_source(source, split_folders=split_folders)
    if sequences:
        found = _only(found, sequences, where=source)
    if table is not None:
        found = join_table(found, table)
    _write(_with_paths_from(out.parent, found), out)
    return found


def show(found: Index, *, console: Console | None = None) -> None:
    """Print how much of what there is: counts and names of columns, never a person's values."""
    console = console or Console(highlight=False, markup=False, soft_wrap=True)
    table = found.table
    subjects = table["subject"][table["subject"] != ""]
    console.print(f"{len(table)} scans of {subjects.nunique()} known subjects")
    for name in ("session", "sequence", "label", "split"):
        if name in table and (table[name] != "").any():
            console.print(f"{name}: {_counted(table[name])}")
    for name in table.columns.drop([*INDEX_COLUMNS, "split"], errors="ignore"):
        known = int((table[name].notna() & (table[name].astype(str) != "")).sum())
        console.print(f"{name}: known of {known} scans")
    if found.left_out:
        console.print(f"left out, since names and dates identify people: {', '.join(found.left_out)}")
    for note in found.notes:
        console.print(f"not joined: {note}")


def _counted(column: pd.Series) -> str:
    counts = column.where(column != "", "unknown").value_counts()
    listed = ", ".join(f"{name} {count}" for name, count in counts.head(_SHOWN).items())
    return listed + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _only(found: Index, sequences: Sequence[str], *, where: str | Path) -> Index:
    there = set(found.table["sequence"])
    strange = [name for name in sequences if name not in there]
    if strange:
        known = ", ".join(sorted(there - {""})) or "none"
        raise DataError(f"{where}: no scan of sequence {strange[0]!r}; there are {known}")
    table = found.table[found.table["sequence"].isin(sequences)].reset_index(drop=True)
    return replace(found, table=table)


def _with_paths_from(folder: Path, found: Index) -> pd.DataFrame:
    home, root = folder.resolve(), found.root.resolve()
    prefix = root.relative_to(home) if root.is_relative_to(home) else root
    return found.table.assign(path=[(prefix / path).as_posix() for path in found.table["path"]])


def _write(table: pd.DataFrame, out: Path) -> None:
    # A group that is the scan itself would not follow a path that changes; it is found anew when the table is read.
    table = table.drop(columns="group")
    with atomic_file(out) as building:
        if out.suffix.lower() == ".parquet":
            table.to_parquet(building, index=False)
        else:
            table.to_csv(building, index=False, sep="\t" if out.suffix.lower() == ".tsv" else ",", encoding="utf-8")
