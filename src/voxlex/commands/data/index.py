"""`voxlex data index`: write a table of scans."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from voxlex.commands.common import Source, say

if TYPE_CHECKING:
    from pandas import Series

    from voxlex.tables.manifest import Index as Scans

_SHOWN = 8


@dataclass(kw_only=True)
class Index:
    """Write a table of the scans in a folder, with subject, session, sequence, slice, label and other known facts.

    Attributes:
        source: A folder of scans (searched recursively), or a table of scans.
        out: Table to write (.csv, .tsv or .parquet). Other commands accept it as SOURCE.
        table: Table with further columns, such as age and sex, to join by path, session or subject.
        sequence: Keep only the scans of these sequences, such as T1w.
        split_folders: Use folders named train, validation and test as splits.
        subject: Column of the table that names persons. By default, it is known by its name, such as "patient_id".
        overwrite: Replace an existing file.
    """

    source: Source
    out: Path
    table: Path | None = None
    sequence: tuple[str, ...] = ()
    split_folders: bool = False
    subject: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    overwrite: bool = False

    def run(self) -> None:
        """Write the table."""
        from voxlex.workflows.index import index

        _show(
            index(
                self.source,
                out=self.out,
                table=self.table,
                sequences=self.sequence,
                split_folders=self.split_folders,
                subject=self.subject,
                overwrite=self.overwrite,
            )
        )


def _show(found: "Scans") -> None:
    """Print counts and the names of columns, but not the values of single persons."""
    from voxlex.tables.manifest import INDEX_COLUMNS

    table = found.table
    subjects = table["subject"][table["subject"] != ""]
    say(f"{len(table)} scans of {subjects.nunique()} known subjects")
    for name in ("session", "sequence", "label", "split"):
        if name in table and (table[name] != "").any():
            say(f"{name}: {_counted(table[name])}")
    for name in table.columns.drop([*INDEX_COLUMNS, "split"], errors="ignore"):
        known = int((table[name].notna() & (table[name].astype(str) != "")).sum())
        say(f"{name}: known for {known} scans")
    for note in (*found.notes, *found.passed_over):
        say(note)


def _counted(column: "Series") -> str:
    counts = column.where(column != "", "unknown").value_counts()
    listed = ", ".join(f"{name} {count}" for name, count in counts.head(_SHOWN).items())
    return listed + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")
