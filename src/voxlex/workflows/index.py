"""Write a table of the scans of a source, which a person can edit and train on."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from voxlex.errors import DataError
from voxlex.files import atomic_file
from voxlex.names import printable, resolved
from voxlex.outputs import check_file
from voxlex.scans.places import Place
from voxlex.stores.addresses import address_of, without_credentials
from voxlex.tables.manifest import Index, index_source, join_table
from voxlex.tables.naming import TABLE_SUFFIXES
from voxlex.tables.text_files import as_cell
from voxlex.workflows.opening import files_of


def index(
    source: str | Path,
    *,
    out: Path,
    table: Path | None = None,
    sequences: Sequence[str] = (),
    split_folders: bool = False,
    subject: str | None = None,
    overwrite: bool = False,
) -> Index:
    """Write a table of the scans of a source.

    Args:
        source: Folder of scans, or a table of scans.
        out: A .csv, .tsv or .parquet file. The paths in it are relative to its folder if the scans lie below that
            folder, and absolute otherwise.
        table: Another table to join by path, session or subject.
        sequences: The sequences to keep; by default all.
        split_folders: Use folders named train, validation and test as splits.
        subject: Column that names persons, of the joined table or else of the source; by default, it is known by its
            name.
        overwrite: Replace an existing file.

    Raises:
        DataError: If the source or the table cannot be used, nothing is left, or `out` is in the way or cannot be
            written.
    """
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{out}: expected a name that ends in {', '.join(TABLE_SUFFIXES)}")
    check_file(out, overwrite=overwrite, reads=chain(files_of(source), [] if table is None else [table]))
    found = index_source(source, split_folders=split_folders, subject=subject if table is None else None)
    if sequences:
        found = _only(found, sequences, where=source)
    if table is not None:
        found = join_table(found, table, subject=subject)
    _write(_with_paths_from(out.parent, found), out)
    return found


def _only(found: Index, sequences: Sequence[str], *, where: str | Path) -> Index:
    there = set(found.table["sequence"])
    strange = [name for name in sequences if name not in there]
    if strange:
        known = ", ".join(sorted(there - {""})) or "none"
        raise DataError(f"{where}: expected one of the sequences {known}, got {strange[0]!r}")
    table = found.table[found.table["sequence"].isin(sequences)].reset_index(drop=True)
    return replace(found, table=table)


def _with_paths_from(folder: Path, found: Index) -> pd.DataFrame:
    root = resolved(found.root)
    if any(address_of(root / path) is not None for path in found.table["path"]):  # copies, which are not for ever
        return found.table.assign(path=[_written(_address(found.place(path))) for path in found.table["path"]])
    home = resolved(folder)
    prefix = root.relative_to(home) if root.is_relative_to(home) else root
    return found.table.assign(path=[_written((prefix / path).as_posix()) for path in found.table["path"]])


def _address(place: Place) -> str:
    """Return the address of a copy without credentials, or the place itself."""
    address = address_of(resolved(Path(str(place))))
    return str(place) if address is None else without_credentials(address)


def _written(path: str) -> str:
    """Return a path as a table keeps it: "%1B" for a byte that cannot be printed, "%20" for a space at an end."""
    inner = path.strip(" ")
    start = len(path) - len(path.lstrip(" "))
    return printable("%20" * start + inner + "%20" * (len(path) - start - len(inner)))


def _write(table: pd.DataFrame, out: Path) -> None:
    # A group that is named after the path would be wrong if the path changes. Reading the table makes groups anew.
    table = table.drop(columns="group")
    texts = [name for name in table.columns if name != "path" and not is_numeric_dtype(table[name])]
    table = table.assign(**{name: table[name].map(_shown) for name in texts})
    with atomic_file(out) as building:
        if out.suffix.lower() == ".parquet":
            with building.open("wb") as file:
                table.to_parquet(file, index=False)
            return
        table = table.assign(**{name: table[name].map(as_cell) for name in ["path", *texts]})
        table.columns = [as_cell(name) for name in table.columns]
        table.to_csv(building, index=False, sep="\t" if out.suffix.lower() == ".tsv" else ",", encoding="utf-8")


def _shown(value: object) -> object:
    return printable(value) if isinstance(value, str) else value
