"""`voxlex data audit`: examine every image of a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxlex.commands.common import Source, say

if TYPE_CHECKING:
    from voxlex.audit.findings import Audit as Findings


@dataclass(kw_only=True)
class Audit:
    """Examine every image: find unreadable, constant and captioned images, near-duplicates, and splits that leak.

    Attributes:
        source: A folder or table of scans, a prepared data set, or "phantom".
        out: HTML page to write. It shows the clusters of near-duplicates.
        json: JSON file to write. It lists all paths.
        overwrite: Replace files that exist.
    """

    source: Source
    out: Path | None = None
    json: Path | None = None
    overwrite: bool = False

    def run(self) -> None:
        """Audit the data set."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.workflows.audit import audit

        found = audit(self.source, out=self.out, json_file=self.json, overwrite=self.overwrite, phases=progress_bar)
        _show(found)
        if self.out:
            say(f"page: {self.out}")


def _show(found: "Findings") -> None:
    """Print the counts, and the leaks between splits."""
    from rich.console import Console
    from rich.table import Table

    from voxlex.pages.audit_page import MEANINGS

    console = Console(highlight=False, markup=False)
    table = Table("", "", "", title=found.name, box=None, title_justify="left", show_header=False)
    table.columns[1].justify = "right"
    for key, (name, meaning) in MEANINGS.items():
        if key in found.figures:
            table.add_row(name, f"{found.figures[key]:,}", meaning)
    console.print(table)
    if found.leaks:
        console.print(f"the split leaks: {found.leaks}", soft_wrap=True)
