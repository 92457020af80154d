"""Where the scans are that a table names: at addresses, relative to the table, or in another encoding of accents."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.errors import DataError
from voxlex.names import accented, as_on_disk, distinct, resolved
from voxlex.scans.places import Place
from voxlex.stores.addresses import address_of, is_address, joined
from voxlex.stores.fetching import copies


def printable_paths(paths: list[str], *, root: Path) -> tuple[list[str], dict[str, Place]]:
    """Return paths as text for tables, and where each is on the disk that is called otherwise there."""
    names = distinct(paths)
    return names, {name: root / path for name, path in zip(names, paths, strict=True) if name != path}


def below_one_root(table: Path, column: pd.Series, lines: np.ndarray) -> tuple[Path, list[str]]:
    """Find the folder that contains all scans of a table, and return it with the paths of the scans in it."""
    empty = np.flatnonzero(column == "")
    if len(empty):
        raise DataError(f"{table}: line {lines[empty[0]]}: expected a path, got an empty cell")
    home = Path(os.path.normpath(table.parent.absolute()))
    places = [_place(home, path.replace("\\", "/")) for path in column]
    twice = np.flatnonzero(pd.Series(places, dtype=object).duplicated())  # strings of pandas are Unicode
    if len(twice):
        raise DataError(f"{table}: line {lines[twice[0]]}: expected a new scan, got one that an earlier line names")
    try:
        common = os.path.commonpath([home, *places])
        if common != str(home):
            common = os.path.commonpath([str(Path(place).parent) for place in places])
    except ValueError as cause:
        raise DataError(f"{table}: expected scans on one drive, got several drives") from cause
    return (table.parent if common == str(home) else Path(common)), [
        Path(place).relative_to(common).as_posix() for place in places
    ]


def copied_here(table: Path, column: pd.Series) -> pd.Series:
    """Copy the scans at addresses, and return a column of paths on this machine.

    In a table that is itself the copy of one at an address, paths are relative to that address.
    """
    home = address_of(resolved(table).parent)
    named = column.map(lambda path: path if is_address(path) else "")
    if home is not None:
        inner = (column != "") & (named == "") & ~column.map(os.path.isabs)
        named = named.where(~inner, column.map(lambda path: joined(home, path)))
    wanted = [address for address in named if address]
    if not wanted:
        return column
    found = dict(zip(wanted, copies(wanted, name=f"the scans of {table}"), strict=True))
    return pd.Series([str(found.get(address, path)) for address, path in zip(named, column, strict=True)], dtype=object)


def _place(home: Path, path: str) -> str:
    """Return where a scan is; a table may name it as text that can be printed, or in another encoding of accents."""
    place = os.path.normpath(home / path)
    if os.path.lexists(place):
        return place
    others = (os.path.normpath(home / other) for other in (as_on_disk(path), *accented(path)))
    return next((other for other in others if os.path.lexists(other)), place)
