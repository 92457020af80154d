"""`voxlex data audit`: examine every image of a data set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from voxlex.commands.common import Source, say
from voxlex.config import ReadingOptions

if TYPE_CHECKING:
    from voxlex.audit.findings import Audit as Findings


@dataclass(kw_only=True)
class Audit:
    """Examine every image: find unreadable, constant and captioned images, near-duplicates, and splits that leak.

    Attributes:
        source: A folder or table of scans, a prepared data set, or "phantom".
        out: HTML page to write. It shows the clusters of near-duplicates.
        json: JSON file to write. It lists all paths.
        reading: What to read of scan files that leave a choice, and what to assume where they say nothing.
        overwrite: Replace files that exist.
    """

    source: Source
    out: Path | None = None
    json: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    overwrite: bool = False

    def run(self) -> None:
        """Audit the data set."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.workflows.audit import audit

        found = audit(
            self.source,
            out=self.out,
            json_file=self.json,
            reading=self.reading,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        _show(found)
        if self.out:
            say(f"page: {self.out}")


def _show(found: "Findings") -> None:
    """Print the counts, and the leaks between splits."""
    from rich.console import Console
    from rich.table import Table

    from voxlex.names import printable
    from voxlex.pages.audit_page import MEANINGS

    console = Console(highlight=False, markup=False)
    table = Table("", "", "", title=printable(found.name), box=None, title_justify="left", show_header=False)
    table.columns[1].justify = "right"
    for key, (name, meaning) in MEANINGS.items():
        if key in found.figures:
            table.add_row(name, f"{found.figures[key]:,}", meaning)
    console.print(table)
    if found.leaks:
        console.print(printable(f"the split leaks: {found.leaks}"), soft_wrap=True)
    if found.unknown or found.notes:
        console.print("What these files do not say:")
    for line in [*map(str, found.unknown), *(note for note in found.notes if "unknown for" not in note)]:
        console.print(f"  {printable(line)}", soft_wrap=True)
