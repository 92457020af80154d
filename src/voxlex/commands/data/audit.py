"""`voxlex data audit`: look at every image of a data set."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Source


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
