"""Write down what is known of the scans of a source, as a table to look at, to change, and to train on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.tables.manifest import Index, index_source, join_table
from voxlex.tables.reading import TABLE_SUFFIXES


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
