"""Commands that look after data sets: `voxlex data index` and its sisters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Source


@dataclass(kw_only=True)
class Index:
    """Write a table of the scans of a folder: subject, session, sequence, slice, label and whatever else is known.

    Attributes:
        source: Folder of scans (searched recursively), or a table of them.
        out: Table to write (.csv, .tsv or .parquet); use it as SOURCE from then on.
        table: Table with more columns, such as age and sex, joined by path, session or subject.
        sequence: Keep only scans of these sequences, such as T1w.
        split_folders: Take folders named train, validation and test for the division into splits.
        overwrite: Replace a file that is there.
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


@dataclass(kw_only=True)
class Fetch:
    """Download a public set of brain scans, and unpack it; without a name, list what there is.

    Attributes:
        name: Of the set.
        out: Folder for it, NAME by default; an interrupted download goes on there.
        accept_licence: You have read the licence and accept it; otherwise you are asked.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = ""
    out: Path | None = None
    accept_licence: bool = False

    def run(self) -> None:
        """Fetch."""
        from voxlex.workflows.fetch import fetch, show_catalogue

        if not self.name:
            show_catalogue()
        else:
            folder = fetch(self.name, out=self.out, accept_licence=self.accept_licence)
            print(f"{self.name} in {folder}")


@dataclass(kw_only=True)
class Audit:
    """Look at every image: unreadable, constant, captioned ones, near-duplicates, and what crosses the splits.

    Attributes:
        source: Folder of scans, a table of them, a prepared data set, or "phantom".
        out: HTML page to write, with the clusters of near-duplicates as pictures.
        json: JSON file to write, with all paths.
    """

    source: Source
    out: Path | None = None
    json: Path | None = None

    def run(self) -> None:
        """Audit."""
        from voxlex.workflows.audit import audit, show

        show(audit(self.source, out=self.out, json_file=self.json))
        if self.out:
            print(f"page: {self.out}")


DataCommand = (
    Annotated[Index, tyro.conf.subcommand("index")]
    | Annotated[Audit, tyro.conf.subcommand("audit")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
)
"""What can be done with a data set."""


@dataclass(kw_only=True)
class Data:
    """Look after data sets: make tables of scans, audit them, fetch public sets.

    Attributes:
        action: What to do.
    """

    action: Annotated[DataCommand, tyro.conf.arg(name="")]

    def run(self) -> None:
        """Do it."""
        self.action.run()
