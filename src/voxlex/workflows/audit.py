"""Look at every image of a data set before anything is learnt from it."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voxlex.audit.findings import Audit, audit_prepared, audit_source
from voxlex.data.dataset import PreparedDataset, is_prepared
from voxlex.data.sources import PHANTOM, check_source, open_source
from voxlex.files import atomic_file
from voxlex.pages.audit_page import MEANINGS, write_audit
from voxlex.progress import silent as progress_bar


def audit(source: str, *, out: Path | None = None, json_file: Path | None = None) -> Audit:
    """Audit a source, and write what was found.

    Args:
        source: Folder of scans, a table of them, a prepared data set, or "phantom".
        out: HTML page to write.
        json_file: JSON file to write, with every path.

    Raises:
        DataError: If the source cannot be used at all, or a file cannot be written.
    """
    check_source(source)
    with progress_bar("looking") as progress:
        if source == PHANTOM:
            found = audit_prepared(open_source(PHANTOM), progress=progress)
        elif is_prepared(Path(source)):
            found = audit_prepared(PreparedDataset.open(source), progress=progress)
        else:
            found = audit_source(source, progress=progress)
    if out is not None:
        write_audit(out, found)
    if json_file is not None:
        with atomic_file(json_file) as building:
            building.write_text(json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def show(found: Audit, *, console: Console | None = None) -> None:
    """Print the counts, and what crosses the splits."""
    console = console or Console(highlight=False, markup=False)
    table = Table("", "", "", title=found.name, box=None, title_justify="left", show_header=False)
    table.columns[1].justify = "right"
    for key, (name, meaning) in MEANINGS.items():
        if key in found.figures:
            table.add_row(name, f"{found.figures[key]:,}", meaning)
    console.print(table)
    if found.leaks:
        console.print(f"the split leaks: {found.leaks}", soft_wrap=True)
