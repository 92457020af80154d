"""`voxlex data audit`: look at every image of a data set."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Source


@dataclass(kw_only=True)
class Audit:
    """Look at every image for what is unreadable, constant, captioned or a near-duplicate, and for leaking splits.

    Attributes:
        source: A folder or table of scans, a prepared data set, or "phantom".
        out: HTML page to write, which shows the clusters of near-duplicates.
        json: JSON file to write, which lists all paths.
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
