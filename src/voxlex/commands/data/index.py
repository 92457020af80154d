"""`voxlex data index`: write a table of scans."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Source


@dataclass(kw_only=True)
class Index:
    """Write a table of the scans in a folder: subject, session, sequence, slice, label and whatever else is known.

    Attributes:
        source: A folder of scans (searched recursively), or a table of scans.
        out: Table to write (.csv, .tsv or .parquet). Use it as SOURCE from then on.
        table: Table with more columns, such as age and sex. It is joined by path, session or subject.
        sequence: Keep only the scans of these sequences, such as T1w.
        split_folders: Use folders named train, validation and test as splits.
        overwrite: Replace the file that is there.
    """

    source: Source
    out: Path
    table: Path | None = None
    sequence: tuple[str, ...] = ()
    split_folders: bool = False
    overwrite: bool = False

    def run(self) -> None:
        """Index."""
        from voxlex.workflows.index import index, show

        show(
            index(
                self.source,
                out=self.out,
                table=self.table,
                sequences=self.sequence,
                split_folders=self.split_folders,
                overwrite=self.overwrite,
            )
        )
